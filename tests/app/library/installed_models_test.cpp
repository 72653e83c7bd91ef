#include "app/library/installed_models.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "app/library/known_models.h"
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
  EXPECT_EQ(installed_models().value().size(), 3U);
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

TEST(KnownModels, ArePinnedWhole) {
  std::set<std::string> names;
  for (const KnownModel& model : known_models()) {
    EXPECT_TRUE(names.insert(model.name).second) << model.name;
    EXPECT_EQ(find_known_model(model.name), &model);
    EXPECT_FALSE(model.title.empty() || model.licence.empty() || model.licence_text.empty());
    EXPECT_FALSE(model.package.empty() || model.version.empty() || model.wheel_member.empty());
    EXPECT_GT(model.wheel_bytes, 0U);
    EXPECT_GT(model.file_bytes, 0U);
    EXPECT_EQ(fs::path(model.file_name).filename(), model.file_name);
    for (const std::string& sha256 : {model.wheel_sha256, model.file_sha256}) {
      EXPECT_EQ(sha256.size(), 64U);
      EXPECT_TRUE(std::all_of(sha256.begin(), sha256.end(),
                              [](unsigned char c) { return std::isdigit(c) || (c >= 'a' && c <= 'f'); }));
    }
  }
  EXPECT_FALSE(names.empty());
  EXPECT_EQ(find_known_model("none"), nullptr);
}

}  // namespace
}  // namespace orrery
