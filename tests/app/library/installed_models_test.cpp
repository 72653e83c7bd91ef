#include "app/library/installed_models.h"

#include <gmock/gmock.h>

#include <set>

#include "app/library/file_name.h"
#include "app/library/known_models.h"
#include "app/library/model_record.h"
#include "tests/app/library/library_fixture.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

class InstalledModels : public LibraryTest {
 protected:
  void SetUp() override {
    LibraryTest::SetUp();
    fs::create_directories(models() / "hub-model");
    fs::create_directories(models() / "notes");
    fs::create_directories(models() / ".fetch-1");
    write_text(models() / "SmolLM2-135M-Instruct.Q4_1.gguf", "12345");
    write_text(models() / "My model.gguf", "123");
    write_text(models() / "readme.txt", "text");
    write_text(models() / "hub-model/config.json", "{}");
    write_text(models() / "hub-model/model.safetensors", "1234567");
  }

  fs::path models() const { return folder() / "models"; }
};

TEST_F(InstalledModels, AreGgufFilesAndHubFolders) {
  const auto found = installed_models(models());
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 3U);
  EXPECT_EQ((*found)[0].name, "My model");
  EXPECT_EQ((*found)[0].n_bytes, 3U);
  EXPECT_EQ((*found)[1].name, "hub-model");
  EXPECT_EQ((*found)[1].path, models() / "hub-model");
  EXPECT_EQ((*found)[1].n_bytes, 9U);
  EXPECT_EQ((*found)[2].name, "smollm2-135m");
  EXPECT_EQ((*found)[2].path, models() / "SmolLM2-135M-Instruct.Q4_1.gguf");
}

TEST_F(InstalledModels, OfAMissingFolderAreNone) {
  const auto found = installed_models(folder() / "none");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->empty());
}

TEST_F(InstalledModels, OfAFileAreAnError) {
  const auto found = installed_models(models() / "readme.txt");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kIo);
}

TEST_F(InstalledModels, AreFoundByName) {
  EXPECT_EQ(resolve_model("smollm2-135m", models()).value(), models() / "SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_EQ(resolve_model("hub-model", models()).value(), models() / "hub-model");
}

TEST_F(InstalledModels, ComeAfterAPathThatExists) {
  const std::string path = models() / "readme.txt";
  EXPECT_EQ(resolve_model(path, models()).value(), path);
}

TEST_F(InstalledModels, AreLookedForInTheFolderOfTheEnvironment) {
  set_variable("ORRERY_MODELS_DIR", models().c_str());
  EXPECT_EQ(installed_models().value().size(), 4U);  // with the one that comes with the program
  EXPECT_EQ(resolve_model("smollm2-135m").value(), models() / "SmolLM2-135M-Instruct.Q4_1.gguf");
}

TEST_F(InstalledModels, AKnownOneThatIsMissingSaysHowToGetIt) {
  const auto path = resolve_model("smollm2-135m", folder() / "none");
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(path.error().message, testing::HasSubstr("orrery models get smollm2-135m"));
}

TEST_F(InstalledModels, AnUnknownNameIsToldWhichAreKnown) {
  for (const char* name : {"gpt-17", "models/none.gguf", ""}) {
    const auto path = resolve_model(name, models());
    ASSERT_FALSE(path);
    EXPECT_EQ(path.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(path.error().message, testing::HasSubstr("smollm2-135m"));
    EXPECT_THAT(path.error().message, testing::EndsWith(name));
  }
}

TEST_F(InstalledModels, AreTheShardsOfASplitFileTogether) {
  for (const char* name : {"big-00001-of-00003.gguf", "big-00002-of-00003.gguf", "big-00003-of-00003.gguf",
                           "headless-00002-of-00002.gguf"}) {
    write_text(models() / name, "1234");
  }
  const auto found = installed_models(models()).value();
  ASSERT_EQ(found.size(), 4U) << "shards without the first one are no model";
  EXPECT_EQ(found[1].name, "big");
  EXPECT_EQ(found[1].path, models() / "big-00001-of-00003.gguf");
  EXPECT_EQ(found[1].n_bytes, 12U);
  EXPECT_EQ(found[1].shards.size(), 3U);
  EXPECT_EQ(resolve_model("big", models()).value(), models() / "big-00001-of-00003.gguf");
}

TEST_F(InstalledModels, SayTheirLicenceWhereItWasNoted) {
  ASSERT_TRUE(write_record(models() / "hub-model", {"hf:a/hub-model", "https://hub/a/hub-model", "c0ffee", "mit"}));
  const auto found = installed_models(models()).value();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].licence, "");
  EXPECT_EQ(found[1].licence, "mit");
  EXPECT_EQ(found[1].source, "https://hub/a/hub-model");
  EXPECT_EQ(found[2].licence, "Apache-2.0") << "a known model's is known";
}

TEST_F(InstalledModels, AreRemovedWithAllThatBelongsToThem) {
  for (const char* name : {"big-00001-of-00002.gguf", "big-00002-of-00002.gguf"}) write_text(models() / name, "1234");
  ASSERT_TRUE(write_record(models() / "big-00001-of-00002.gguf", {}));
  ASSERT_TRUE(write_record(models() / "hub-model", {}));
  EXPECT_EQ(remove_model("big", models()).value(), 8U);
  EXPECT_EQ(remove_model("hub-model", models()).value(), 9U);
  EXPECT_EQ(remove_model("smollm2-135m", models()).value(), 5U);
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(models())) left.insert(entry.path().filename());
  EXPECT_EQ(left, (std::set<std::string>{".fetch-1", "My model.gguf", "notes", "readme.txt"}));
}

TEST_F(InstalledModels, AreRemovedByNameAlone) {
  write_text(folder() / "outside.gguf", "precious");
  for (const char* name : {"", ".", "..", "../outside", "outside", "/", "readme.txt", "notes", "hub-model/"}) {
    const auto removed = remove_model(name, models());
    ASSERT_FALSE(removed) << name;
    EXPECT_EQ(removed.error().code, ErrorCode::kNotFound);
  }
  EXPECT_EQ(read_text(folder() / "outside.gguf"), "precious");
  EXPECT_EQ(installed_models(models()).value().size(), 3U);
}

TEST_F(InstalledModels, LinkedFromElsewhereLoseTheirLinkOnly) {
  fs::create_directories(folder() / "elsewhere");
  write_text(folder() / "elsewhere/config.json", "{}");
  write_text(folder() / "elsewhere/file.gguf", "12345");
  fs::create_directory_symlink(folder() / "elsewhere", models() / "linked-folder");
  fs::create_symlink(folder() / "elsewhere/file.gguf", models() / "linked.gguf");
  ASSERT_TRUE(remove_model("linked-folder", models()));
  ASSERT_TRUE(remove_model("linked", models()));
  EXPECT_FALSE(fs::exists(fs::symlink_status(models() / "linked-folder")));
  EXPECT_FALSE(fs::exists(fs::symlink_status(models() / "linked.gguf")));
  EXPECT_EQ(read_text(folder() / "elsewhere/file.gguf"), "12345");
  EXPECT_TRUE(fs::exists(folder() / "elsewhere/config.json"));
}

TEST(KnownModels, ArePinnedWhole) {
  std::set<std::string> names;
  const auto expect_sum = [](const std::string& sha256) {
    EXPECT_EQ(sha256.size(), 64U);
    EXPECT_EQ(sha256.find_first_not_of("0123456789abcdef"), std::string::npos);
  };
  for (const KnownModel& model : known_models()) {
    EXPECT_TRUE(names.insert(model.name).second) << model.name;
    EXPECT_EQ(find_known_model(model.name), &model);
    EXPECT_FALSE(model.title.empty() || model.licence.empty() || model.licence_text.empty());
    EXPECT_TRUE(is_plain_file_name(model.file_name));
    expect_sum(model.file_sha256);
    uint64_t unpacked = 0;
    for (const PinnedWheel& wheel : model.wheels) {
      EXPECT_FALSE(wheel.package.empty() || wheel.version.empty() || wheel.member.empty());
      EXPECT_GT(wheel.n_bytes, 0U);
      unpacked += wheel.member_bytes;
      expect_sum(wheel.sha256);
    }
    EXPECT_EQ(unpacked, model.file_bytes) << "the pieces are the file";
  }
  EXPECT_FALSE(names.empty());
  EXPECT_FALSE(known_models().front().must_accept) << "the default model comes without a question";
  EXPECT_EQ(find_known_model("none"), nullptr);
}

TEST(FileName, IsPlainOrRefused) {
  for (const char* name : {"model.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf", "a b (1).gguf", "x"}) {
    EXPECT_TRUE(is_plain_file_name(name)) << name;
  }
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../x.gguf"), std::string("/x.gguf"),
        std::string("a/b.gguf"), std::string("a\\b.gguf"), std::string(".hidden"), std::string("-rf"),
        std::string("a\nb.gguf"), std::string("a\0b.gguf", 8), std::string("a\x1b[31m.gguf"), std::string("C:x.gguf"),
        std::string("x.gguf."), std::string("x.part"), std::string(201, 'a'), std::string("\xc3\xa4.gguf")}) {
    EXPECT_FALSE(is_plain_file_name(name)) << name;
  }
}

TEST(ShardName, IsReadAndWritten) {
  const auto shard = parse_shard_name("big-model-00002-of-00013.gguf");
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->stem, "big-model");
  EXPECT_EQ(shard->index, 2);
  EXPECT_EQ(shard->count, 13);
  EXPECT_EQ(shard->at(13).text(), "big-model-00013-of-00013.gguf");
  for (const char* name :
       {"", "model.gguf", "-00001-of-00002.gguf", "m-00003-of-00002.gguf", "m-00000-of-00002.gguf",
        "m-0001-of-0002.gguf", "m-00001-of-00002", "m-000a1-of-00002.gguf", "m00001-of-00002.gguf"}) {
    EXPECT_FALSE(parse_shard_name(name)) << name;
  }
}

}  // namespace
}  // namespace orrery
