#include "engine/formats/gguf_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/formats/files.h"

namespace orrery {
namespace {

using testing::Bytes;
using testing::floats;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::TempFolder;

constexpr uint32_t kF32 = 0;

TEST(GgufPartName, IsTakenApartAndPutTogether) {
  const auto name = parse_gguf_part_name("big-model-00002-of-00013.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->name, "big-model");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 13u);
  EXPECT_EQ(name->of(13), "big-model-00013-of-00013.gguf");
}

TEST(GgufPartName, IsNothingElse) {
  for (const std::string_view other :
       {"model.gguf", "model-00001-of-00002.bin", "model-0001-of-0002.gguf", "model-00000-of-00002.gguf",
        "model-00003-of-00002.gguf", "model-00001-of-0000x.gguf", "model-+0001-of-00002.gguf", "00001-of-00002.gguf",
        "model-00001-of-99999.gguf", "model_00001-of-00002.gguf", "", ".gguf"}) {
    EXPECT_FALSE(parse_gguf_part_name(other)) << other;
  }
}

// A model of three files: a (no tensors but all metadata), b with "one", c with "two" and "three".
class SplitGguf : public ::testing::Test {
 protected:
  static GgufBuilder part(uint16_t number, uint16_t count = 3) {
    GgufBuilder builder;
    builder.entry("split.no", kIdU16, Bytes().add(number)).entry("split.count", kIdU16, Bytes().add(count));
    return builder;
  }
  static GgufBuilder first(int32_t n_tensors = 3) {
    GgufBuilder builder = part(0);
    builder.entry("split.tensors.count", testing::kIdI32, Bytes().add(n_tensors));
    builder.string("general.architecture", "llama").string("general.name", "Split");
    return builder;
  }
  static GgufBuilder second() {
    GgufBuilder builder = part(1);
    builder.tensor("one", {4}, kF32, floats(4));
    return builder;
  }
  static GgufBuilder third() {
    GgufBuilder builder = part(2);
    builder.tensor("two", {2, 2}, kF32, floats(4)).tensor("three", {2}, kF32, floats(2));
    return builder;
  }
  std::filesystem::path write(int number, const GgufBuilder& builder) {
    return folder_.write("m-0000" + std::to_string(number) + "-of-00003.gguf", builder.build());
  }
  void write_all() {
    write(1, first());
    write(2, second());
    write(3, third());
  }
  std::string refusal(int number = 1, ErrorCode code = ErrorCode::kInvalidFile) {
    const auto file = GgufFile::open(folder_.path() / ("m-0000" + std::to_string(number) + "-of-00003.gguf"));
    if (file) {
      ADD_FAILURE() << "a damaged model opened";
      return "";
    }
    EXPECT_EQ(file.error().code, code) << file.error().message;
    return file.error().message;
  }

  static constexpr uint32_t kIdU16 = 2;
  TempFolder folder_;
};

TEST_F(SplitGguf, AnyPartOpensTheWholeModel) {
  write_all();
  uint64_t n_bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) n_bytes += entry.file_size();
  for (int number = 1; number <= 3; ++number) {
    const std::string name = "m-0000" + std::to_string(number) + "-of-00003.gguf";
    const auto file = GgufFile::open(folder_.path() / name);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_THAT((*file)->path(), ::testing::EndsWith(name));
    EXPECT_EQ((*file)->architecture(), "llama");
    EXPECT_EQ((*file)->n_files(), 3u);
    EXPECT_EQ((*file)->file_size(), n_bytes);
    ASSERT_EQ((*file)->tensors().size(), 3u);
    EXPECT_EQ((*file)->tensors()[0].name, "one");
    EXPECT_EQ((*file)->tensor("two")->f32()[3], 4.f);
    EXPECT_THAT(std::string((*file)->find_tensor("three")->path), HasSubstr("m-00003-of-00003.gguf"));
    EXPECT_EQ((*file)->header().size(), std::filesystem::file_size(folder_.path() / "m-00001-of-00003.gguf"));
  }
}

TEST_F(SplitGguf, PartsMayBeLinks) {
  const TempFolder blobs;
  const std::string names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"};
  const GgufBuilder parts[] = {first(), second(), third()};
  for (size_t i = 0; i < 3; ++i) {
    std::filesystem::create_symlink(blobs.write("sha-" + std::to_string(i), parts[i].build()),
                                    folder_.path() / names[i]);
  }
  const auto file = GgufFile::open(folder_.path() / names[1]);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->tensors().size(), 3u);
}

TEST_F(SplitGguf, AMissingPartIsNamed) {
  write_all();
  std::filesystem::remove(folder_.path() / "m-00002-of-00003.gguf");
  for (int number : {1, 3}) EXPECT_THAT(refusal(number, ErrorCode::kNotFound), HasSubstr("m-00002-of-00003.gguf"));
}

TEST_F(SplitGguf, PartsThatDoNotFitTogetherAreRefused) {
  write_all();
  write(2, part(2));
  EXPECT_THAT(refusal(), HasSubstr("split.no should be 1, but is 2"));
  write(2, part(1, 4));
  EXPECT_THAT(refusal(), HasSubstr("one of 3 files, but its split.count is 4"));
  write(2, GgufBuilder());
  EXPECT_THAT(refusal(), HasSubstr("split.count is 1"));
  write(2, GgufBuilder().string("split.count", "3"));
  EXPECT_THAT(refusal(), HasSubstr("should be a whole number"));
  write(2, second());
  write(1, first(4));
  EXPECT_THAT(refusal(), HasSubstr("hold 3 tensors, but its split.tensors.count is 4"));
  write_all();
  GgufBuilder again = part(2);
  again.tensor("two", {4}, kF32, floats(4)).tensor("one", {4}, kF32, floats(4));
  write(3, again);
  EXPECT_THAT(refusal(2), HasSubstr("\"one\" occurs twice"));
  folder_.write("m-00003-of-00003.gguf", "GGUF");
  EXPECT_THAT(refusal(1), HasSubstr("m-00003-of-00003.gguf"));
}

TEST_F(SplitGguf, APartOfAnotherNameIsToldHowPartsAreNamed) {
  const auto file = GgufFile::open(folder_.write("renamed.gguf", second().build()));
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("one of 3 files"));
  EXPECT_THAT(file.error().message, HasSubstr("\"renamed.gguf\""));
}

TEST_F(SplitGguf, AWholeModelMayHaveAPartsName) {
  GgufBuilder builder;
  builder.string("general.architecture", "llama");
  const auto file = GgufFile::open(folder_.write("m-00001-of-00003.gguf", builder.build()));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->n_files(), 1u);
}

}  // namespace
}  // namespace orrery
