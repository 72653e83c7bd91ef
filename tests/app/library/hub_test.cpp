// Hugging Face repositories, served on loopback.
#include "app/library/hub.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/library/fetch.h"
#include "app/library/installed_models.h"
#include "app/library/model_record.h"
#include "app/library/sha256.h"
#include "tests/app/library/library_fixture.h"
#include "tests/app/library/loopback_server.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Reply = LoopbackServer::Reply;
using Request = LoopbackServer::Request;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

class HubTest : public LibraryTest {
 protected:
  void TearDown() override { server_.stop(); }
  void SetUp() override {
    LibraryTest::SetUp();
    set_variable("no_proxy", "*");
    options_.folder = folder() / "models";
    options_.hub = {.endpoint = server_.address(""), .token = {}};
    options_.first_wait = std::chrono::milliseconds(5);
    options_.most_tries = 2;
    options_.patience.stall_time = std::chrono::milliseconds(300);
    listing_ = {{"id", "owner/name"},
                {"sha", kCommit},
                {"gated", false},
                {"cardData", {{"license", "apache-2.0"}}},
                {"siblings", nlohmann::json::array()}};
  }

  // A file of the repository, listed and served; large ones carry their SHA-256 as Git LFS notes it.
  void add(const std::string& path, const std::string& text, bool lfs = false) {
    nlohmann::json file{{"rfilename", path}, {"size", text.size()}, {"blobId", std::string(40, 'b')}};
    if (lfs) file["lfs"] = {{"sha256", sum(text)}, {"size", text.size()}, {"pointerSize", 130}};
    listing_["siblings"].push_back(file);
    server_.serve(file_path(path), text);
  }
  static std::string file_path(const std::string& path) {
    return "/owner/name/resolve/" + std::string(kCommit) + "/" + path;
  }
  void publish(const std::string& revision = "main") {
    server_.on("/api/models/owner/name/revision/" + revision,
               [text = listing_.dump()](const Request&, Reply& reply) { reply.whole(200, {}, text); });
  }
  void add_folder() {
    add(".gitattributes", "*.safetensors lfs");
    add("README.md", "# a model");
    add("config.json", R"({"model_type": "llama"})");
    add("generation_config.json", "{}");
    add("tokenizer.json", "{\"model\": {}}");
    add("model.safetensors", std::string(9000, 's'), true);
    add("pytorch_model.bin", "pickle", true);
    add("onnx/model.onnx", "onnx", true);
    add("LICENSE", "Apache");
  }

  std::string sum(const std::string& text) const {
    write_text(folder() / "summed", text);
    return sha256_of_file(folder() / "summed").value();
  }
  Result<fs::path> fetch(const FetchRequest& request = {.what = "hf:owner/name"}) const {
    ORRERY_ASSIGN_OR_RETURN(const FetchPlan plan, plan_fetch(request, options_));
    return run_fetch(plan, options_);
  }
  std::string failure(ErrorCode code, const FetchRequest& request = {.what = "hf:owner/name"}) const {
    const auto path = fetch(request);
    EXPECT_FALSE(path);
    if (path) return {};
    EXPECT_EQ(path.error().code, code) << path.error().message;
    for (const char c : path.error().message) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
    return path.error().message;
  }
  static std::vector<std::string> files_in(const fs::path& path) {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(path)) names.push_back(fs::relative(entry.path(), path));
    std::sort(names.begin(), names.end());
    return names;
  }

  LoopbackServer server_;
  nlohmann::json listing_;
  FetchOptions options_;
};

TEST_F(HubTest, BringsAFolderOfWeights) {
  add_folder();
  publish();
  const auto plan = plan_fetch({.what = "hf:owner/name"}, options_);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(server_.requests().size(), 1U) << "only the list, before the licence was shown";
  EXPECT_EQ(plan->licence.name, "apache-2.0");
  EXPECT_EQ(plan->name, "name");
  EXPECT_EQ(plan->revision, kCommit);
  EXPECT_GT(plan->n_bytes().value_or(0), 9000U);
  const auto path = run_fetch(*plan, options_);
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(*path, options_.folder / "name");
  EXPECT_EQ(files_in(*path), (std::vector<std::string>{"LICENSE", "config.json", "generation_config.json",
                                                       "model.safetensors", "tokenizer.json"}));
  EXPECT_EQ(resolve_model("name", options_.folder).value(), *path);
  const auto models = installed_models(options_.folder).value();
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].licence, "apache-2.0");
  const size_t before = server_.requests().size();
  EXPECT_TRUE(plan_fetch({.what = "hf:owner/name"}, options_)->installed);
  EXPECT_TRUE(plan_fetch({.what = server_.address("/owner/name/")}, options_)->installed);
  EXPECT_EQ(server_.requests().size(), before) << "what is here is not asked for";
}

TEST_F(HubTest, BringsShardsAndLeavesOtherSpellingsOfTheWeights) {
  add("config.json", "{}");
  add("model.safetensors.index.json", "{\"weight_map\": {}}");
  add("model-00001-of-00002.safetensors", std::string(500, 'a'), true);
  add("model-00002-of-00002.safetensors", std::string(600, 'b'), true);
  add("consolidated.safetensors", "c", true);
  add("adapter_model.safetensors", "d", true);
  publish();
  const auto path = fetch();
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(files_in(*path),
            (std::vector<std::string>{"config.json", "model-00001-of-00002.safetensors",
                                      "model-00002-of-00002.safetensors", "model.safetensors.index.json"}));
}

TEST_F(HubTest, MissesAShardBeforeAnythingIsFetched) {
  add("config.json", "{}");
  add("model-00001-of-00002.safetensors", "a", true);
  publish();
  EXPECT_THAT(failure(ErrorCode::kNotFound), HasSubstr("model-00002-of-00002.safetensors"));
  EXPECT_EQ(server_.requests().size(), 1U);
}

TEST_F(HubTest, BringsAGgufFileOfSeveral) {
  add("small.gguf", "GGUF small", true);
  add("Q4/big-00001-of-00002.gguf", "GGUF one", true);
  add("Q4/big-00002-of-00002.gguf", "GGUF two", true);
  publish();
  const std::string several = failure(ErrorCode::kInvalidArgument);
  EXPECT_THAT(several, HasSubstr("small.gguf"));
  EXPECT_THAT(several, HasSubstr("Q4/big-00001-of-00002.gguf"));
  EXPECT_EQ(fetch({.what = "hf:owner/name/small.gguf"}).value(), options_.folder / "small.gguf");
  EXPECT_EQ(fetch({.what = "hf:owner/name", .file = "Q4/big-00001-of-00002.gguf"}).value(),
            options_.folder / "big-00001-of-00002.gguf");
  EXPECT_TRUE(fs::exists(options_.folder / "big-00002-of-00002.gguf"));
  failure(ErrorCode::kNotFound, {.what = "hf:owner/name/none.gguf"});
}

TEST_F(HubTest, BringsTheOnlyGgufFile) {
  add("README.md", "x");
  add("deep/only.gguf", "GGUF only", true);
  publish();
  EXPECT_EQ(fetch().value(), options_.folder / "only.gguf");
}

TEST_F(HubTest, TakesRevisionsAndAddresses) {
  add_folder();
  publish("v1.0");
  ASSERT_TRUE(fetch({.what = "hf:owner/name@v1.0"}));
  EXPECT_THAT(failure(ErrorCode::kNotFound, {.what = "hf:owner/name@v2.0", .name = "two"}), HasSubstr("v2.0"));
  const auto parsed = [&](const std::string& what) { return parse_hub_repository(what, {}).value()->text(); };
  EXPECT_EQ(parsed("https://huggingface.co/owner/name"), "hf:owner/name");
  EXPECT_EQ(parsed("https://hf.co/owner/name/tree/main"), "hf:owner/name");
  EXPECT_EQ(parsed("https://huggingface.co/owner/name/tree/v1"), "hf:owner/name@v1");
  EXPECT_EQ(parsed("https://huggingface.co/owner/name/blob/main/a/b.gguf?x"), "hf:owner/name/a/b.gguf");
  EXPECT_EQ(parsed("https://huggingface.co/owner/name/resolve/v1/b.gguf"), "hf:owner/name@v1/b.gguf");
  EXPECT_FALSE(*parse_hub_repository("https://example.org/owner/name", {}));
  for (const char* what : {"hf:", "hf:owner", "hf:owner/", "hf:/name", "hf:../name", "hf:owner/..", "hf:owner/na me",
                           "hf:owner/name/config.json", "hf:owner/name/../x.gguf", "hf:owner/name//x.gguf",
                           "hf:owner/name@../x", "https://huggingface.co/owner", "https://huggingface.co/a/b/raw/x"}) {
    const auto repository = parse_hub_repository(what, {});
    ASSERT_FALSE(repository) << what;
    EXPECT_EQ(repository.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(HubTest, SendsTheTokenToTheHubAlone) {
  LoopbackServer store;
  const std::string weights(9000, 's');
  add_folder();
  publish();
  store.serve("/blob", weights);
  server_.redirect(file_path("model.safetensors"), store.address("/blob"));
  options_.hub.token = "hf_secret";
  ASSERT_TRUE(fetch());
  for (const Request& request : server_.requests()) {
    EXPECT_EQ(request.header("authorization"), "Bearer hf_secret") << request.target;
  }
  ASSERT_EQ(store.requests().size(), 1U);
  EXPECT_EQ(store.requests()[0].header("authorization"), "");
  options_.hub.token = "no\r\ntoken: x";
  failure(ErrorCode::kInvalidArgument, {.what = "hf:owner/other"});
}

TEST_F(HubTest, SaysWhoMayReadIt) {
  for (const int status : {401, 403}) {
    server_.on("/api/models/owner/name/revision/main",
               [status](const Request&, Reply& reply) { reply.whole(status, {}, "{}"); });
    EXPECT_THAT(failure(ErrorCode::kUnsupported), HasSubstr("HF_TOKEN"));
  }
  EXPECT_THAT(failure(ErrorCode::kNotFound, {.what = "hf:owner/none"}), HasSubstr("hf:owner/none"));
}

TEST_F(HubTest, ShowsThatTermsMustBeAcceptedThere) {
  add_folder();
  listing_["gated"] = "manual";
  listing_["cardData"] = {{"license", "other"}, {"license_name", "own\x1b[31m"}, {"license_link", "https://x"}};
  publish();
  const auto plan = plan_fetch({.what = "hf:owner/name"}, options_);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->licence.name, "own [31m") << "no control characters";
  EXPECT_THAT(plan->licence.text, HasSubstr("accept"));
  listing_["cardData"] = nullptr;
  listing_["tags"] = {"llama", "license:mit"};
  publish();
  EXPECT_EQ(plan_fetch({.what = "hf:owner/name"}, options_)->licence.name, "mit");
  listing_.erase("tags");
  publish();
  EXPECT_EQ(plan_fetch({.what = "hf:owner/name"}, options_)->licence.name, "unknown");
}

TEST_F(HubTest, KeepsTheFilesThatCameWhenOneFails) {
  add_folder();
  publish();
  server_.on(file_path("model.safetensors"), [](const Request&, Reply& reply) { reply.whole(500, {}, ""); });
  EXPECT_THAT(failure(ErrorCode::kIo), HasSubstr("model.safetensors"));
  EXPECT_FALSE(fs::exists(options_.folder / "name"));
  EXPECT_TRUE(installed_models(options_.folder).value().empty());
  server_.serve(file_path("model.safetensors"), std::string(9000, 's'));
  ASSERT_TRUE(fetch());
  EXPECT_EQ(server_.requests(file_path("config.json")).size(), 1U);
  EXPECT_FALSE(fs::exists(options_.folder / "name.part"));
}

TEST_F(HubTest, BeginsAnewAtAnotherCommit) {
  add_folder();
  publish();
  server_.on(file_path("model.safetensors"), [](const Request&, Reply& reply) { reply.whole(404, {}, ""); });
  failure(ErrorCode::kNotFound);
  const std::string other(40, 'e');
  listing_["sha"] = other;
  publish();
  for (const char* name : {"LICENSE", "config.json", "generation_config.json", "tokenizer.json"}) {
    server_.serve("/owner/name/resolve/" + other + "/" + name,
                  std::string(name) == "config.json" ? "{\"model_type\": \"other\"}" : "{}");
  }
  for (auto& file : listing_["siblings"]) file.erase("size");
  publish();
  server_.serve("/owner/name/resolve/" + other + "/model.safetensors", std::string(9000, 's'));
  const auto path = fetch();
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(read_text(*path / "config.json"), "{\"model_type\": \"other\"}");
}

TEST_F(HubTest, RefusesAFileOfAnotherSumOrSize) {
  add_folder();
  publish();
  server_.serve(file_path("model.safetensors"), std::string(9000, 'x'));
  failure(ErrorCode::kMismatch);
  server_.serve(file_path("model.safetensors"), std::string(9001, 's'));
  failure(ErrorCode::kMismatch);
  EXPECT_FALSE(fs::exists(options_.folder / "name"));
}

TEST_F(HubTest, RefusesAListThatNamesHostileFiles) {
  for (const char* name : {"../model.safetensors", "/etc/model.safetensors", "a/../../model.safetensors", "..",
                           "a\\b.safetensors", "model\n.safetensors", "", "a//b", "./x"}) {
    listing_["siblings"] = nlohmann::json::array();
    add("config.json", "{}");
    listing_["siblings"].push_back({{"rfilename", name}, {"size", 3}});
    publish();
    failure(ErrorCode::kInvalidFile);
  }
  for (const char* name : {"-rf.safetensors", ".x.safetensors", "C:x.safetensors"}) {
    listing_["siblings"] = nlohmann::json::array();
    add("config.json", "{}");
    listing_["siblings"].push_back({{"rfilename", name}, {"size", 3}});
    publish();
    failure(ErrorCode::kInvalidFile);
  }
  EXPECT_FALSE(fs::exists(options_.folder));
}

TEST_F(HubTest, RefusesAListThatMakesNoSense) {
  const std::string path = "/api/models/owner/name/revision/main";
  for (const std::string& text :
       {std::string("<html>"), std::string("[]"), std::string("{}"), std::string("{\"sha\": 7, \"siblings\": []}"),
        std::string("{\"sha\": \"../../x\", \"siblings\": []}"),
        std::string("{\"sha\": \"") + kCommit + "\", \"siblings\": {}}",
        std::string("{\"sha\": \"") + kCommit + "\", \"siblings\": [1]}",
        std::string("{\"sha\": \"") + kCommit + "\", \"siblings\": [{}]}",
        std::string("{\"sha\": \"") + kCommit +
            "\", \"siblings\": [{\"rfilename\": \"a\", \"lfs\": {\"sha256\": \"x\"}}]}",
        std::string(200'000, '[')}) {
    server_.on(path, [text](const Request&, Reply& reply) { reply.whole(200, {}, text); });
    failure(ErrorCode::kInvalidFile);
  }
  listing_["siblings"].push_back({{"rfilename", "README.md"}, {"size", -3}});
  publish();
  failure(ErrorCode::kUnsupported);
}

TEST_F(HubTest, ComesFromTheEnvironment) {
  set_variable("HF_ENDPOINT", "https://mirror.example/hub/");
  set_variable("HF_TOKEN", "hf_x");
  const HubAccess hub = HubAccess::of_environment();
  EXPECT_EQ(hub.endpoint, "https://mirror.example/hub");
  EXPECT_EQ(hub.token, "hf_x");
  set_variable("HF_ENDPOINT", nullptr);
  EXPECT_EQ(HubAccess::of_environment().endpoint, "https://huggingface.co");
  options_.hub.endpoint = "no address";
  EXPECT_THAT(failure(ErrorCode::kInvalidArgument), HasSubstr("HF_ENDPOINT"));
}

}  // namespace
}  // namespace orrery
