#include "engine/formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/formats/quoted.h"
#include "tests/engine/formats/files.h"

namespace orrery {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using testing::floats;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempFolder;
using ::testing::UnorderedElementsAre;

constexpr uint32_t kF32 = 0, kQ4_1 = 3, kQ4_K = 12, kIQ2_XXS = 16;

class GgufTest : public ::testing::Test {
 protected:
  Result<std::shared_ptr<const GgufFile>> open(const std::string& bytes) {
    return GgufFile::open(folder_.write("m.gguf", bytes));
  }
  Result<std::shared_ptr<const GgufFile>> open(const GgufBuilder& builder) { return open(builder.build()); }

  // The message with which `builder` is refused; fails where it opens, or where the message does not name the file.
  std::string refusal(const GgufBuilder& builder, ErrorCode code = ErrorCode::kInvalidFile) {
    return refusal(builder.build(), code);
  }
  std::string refusal(const std::string& bytes, ErrorCode code = ErrorCode::kInvalidFile) {
    const auto file = open(bytes);
    if (file) {
      ADD_FAILURE() << "a damaged file opened";
      return "";
    }
    EXPECT_EQ(file.error().code, code) << file.error().message;
    EXPECT_THAT(file.error().message, HasSubstr("m.gguf"));
    return file.error().message;
  }

  static GgufBuilder small() {
    GgufBuilder builder;
    builder.string("general.architecture", "llama").u32("llama.block_count", 2).f32("llama.eps", 1e-5f);
    builder.boolean("flag", true).strings("words", {"a", "", "ccc"}).i32s("numbers", {3, -1, 7});
    builder.tensor("one", {3, 2}, kF32, floats(6)).tensor("two", {4}, kF32, floats(4));
    return builder;
  }

  TempFolder folder_;
};

TEST_F(GgufTest, ReadsMetadataOfEveryKind) {
  const auto opened = open(small());
  ASSERT_TRUE(opened) << opened.error().message;
  const GgufFile& file = **opened;
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.architecture(), "llama");
  EXPECT_EQ(file.get_u64("llama.block_count").value(), 2u);
  EXPECT_EQ(file.get_i64("llama.block_count").value(), 2);
  EXPECT_FLOAT_EQ(static_cast<float>(file.get_f64("llama.eps").value()), 1e-5f);
  EXPECT_EQ(file.get_f64("llama.block_count").value(), 2.0);
  EXPECT_TRUE(file.get_bool("flag").value());
  EXPECT_THAT(std::vector(file.get_strings("words").value().begin(), file.get_strings("words").value().end()),
              ElementsAre("a", "", "ccc"));
  EXPECT_THAT(file.get_ints("numbers").value(), ElementsAre(3, -1, 7));
  EXPECT_THAT(file.get_floats("numbers").value(), ElementsAre(3.f, -1.f, 7.f));
  EXPECT_EQ(file.metadata().size(), 6u);
  EXPECT_EQ(file.metadata()[0].key, "general.architecture");
}

TEST_F(GgufTest, MissingAndMistypedKeysAreToldApart) {
  const auto opened = open(small());
  ASSERT_TRUE(opened);
  const GgufFile& file = **opened;
  EXPECT_EQ(file.get_u64("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.get_u64("nothing").error().message, HasSubstr("\"nothing\""));
  EXPECT_EQ(file.get_u64("nothing", 5).value(), 5u);
  EXPECT_EQ(file.get_u64("general.architecture", 5).error().code, ErrorCode::kInvalidFile);
  EXPECT_THAT(file.get_u64("general.architecture", 5).error().message, HasSubstr("string"));
  EXPECT_EQ(file.get_string("flag").error().code, ErrorCode::kInvalidFile);
  EXPECT_EQ(file.get_strings("numbers").error().code, ErrorCode::kInvalidFile);
  EXPECT_EQ(file.get_ints("words").error().code, ErrorCode::kInvalidFile);
  EXPECT_EQ(file.get_ints("flag").error().code, ErrorCode::kInvalidFile);
  EXPECT_EQ(file.get_bool("llama.block_count").error().code, ErrorCode::kInvalidFile);
}

TEST_F(GgufTest, IntegersThatDoNotFitAreRefused) {
  GgufBuilder builder;
  builder.entry("huge", testing::kIdU64, Bytes().add<uint64_t>(UINT64_MAX));
  builder.entry("negative", testing::kIdI32, Bytes().add<int32_t>(-4));
  const auto file = open(builder);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->get_u64("huge").value(), UINT64_MAX);
  EXPECT_FALSE((*file)->get_i64("huge"));
  EXPECT_FALSE((*file)->get_u64("negative"));
  EXPECT_EQ((*file)->get_i64("negative").value(), -4);
}

TEST_F(GgufTest, TensorsAreListedOutermostFirstInPlace) {
  const auto opened = open(small());
  ASSERT_TRUE(opened);
  const GgufFile& file = **opened;
  ASSERT_EQ(file.tensors().size(), 2u);
  const Result<TensorView> one = file.tensor("one");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->shape, (Shape{2, 3}));
  EXPECT_EQ(one->dtype, DType::kF32);
  EXPECT_EQ(reinterpret_cast<const float*>(one->row(1))[0], 4.f);
  EXPECT_EQ(file.tensor("two")->f32()[3], 4.f);
  EXPECT_EQ(file.find_tensor("two")->n_bytes, 16u);
  EXPECT_EQ(file.tensor("three").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.tensor("three").error().message, HasSubstr("\"three\""));
}

TEST_F(GgufTest, VersionTwoReadsLikeThree) {
  for (const uint32_t version : {2u, 3u}) {
    GgufBuilder builder = small();
    builder.version = version;
    const auto file = open(builder);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ((*file)->version(), version);
    EXPECT_EQ((*file)->get_string("general.architecture").value(), "llama");
    EXPECT_EQ((*file)->get_strings("words").value()[2], "ccc");
    EXPECT_EQ((*file)->tensor("one")->shape, (Shape{2, 3}));
    EXPECT_EQ((*file)->tensor("two")->f32()[3], 4.f);
  }
}

TEST_F(GgufTest, VocabularyOnlyFilesOfAnyArchitectureOpen) {
  GgufBuilder builder;
  builder.string("general.architecture", "never-heard-of").strings("tokenizer.ggml.tokens", {"a"});
  const auto file = open(builder);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE((*file)->tensors().empty());
  EXPECT_EQ((*file)->architecture(), "never-heard-of");
}

TEST_F(GgufTest, TypesThatAreNotComputedOnOpenButAreRefusedByNameWhenUsed) {
  GgufBuilder builder;
  builder.tensor("w", {256, 2}, kIQ2_XXS, std::string(132, 'x')).tensor("v", {4}, kF32, floats(4));
  const auto file = open(builder);
  ASSERT_TRUE(file) << file.error().message;
  const StoredTensor* tensor = (*file)->find_tensor("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->type_name, "IQ2_XXS");
  EXPECT_EQ(tensor->n_bytes, 132u);
  const auto view = (*file)->tensor("w");
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(view.error().message, HasSubstr("type IQ2_XXS cannot be computed on yet"));
  EXPECT_THAT(view.error().message, HasSubstr("\"w\""));
  EXPECT_THAT(view.error().message, HasSubstr("m.gguf"));
  EXPECT_TRUE((*file)->tensor("v"));
}

TEST_F(GgufTest, EveryTypeOfGgmlHasANameAndSizes) {
  std::set<std::string_view> names, computed_on;
  for (uint32_t id = 0; id <= 41; ++id) {
    const GgmlType* type = find_ggml_type(id);
    ASSERT_NE(type, nullptr) << id;
    EXPECT_EQ(type->id, id);
    EXPECT_TRUE(names.insert(type->name).second) << type->name;
    EXPECT_GT(type->block_bytes, 0u);
    if (type->dtype) {
      computed_on.insert(type->name);
      EXPECT_EQ(dtype_name(*type->dtype), type->name);
      EXPECT_EQ(dtype_info(*type->dtype).block_size, type->block_size);
      EXPECT_EQ(dtype_info(*type->dtype).block_bytes, type->block_bytes);
    }
  }
  EXPECT_THAT(computed_on,
              UnorderedElementsAre("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K",
                                   "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "I32", "I64"));
  EXPECT_EQ(find_ggml_type(42), nullptr);
  EXPECT_EQ(find_ggml_type(UINT32_MAX), nullptr);
}

TEST_F(GgufTest, ForeignFilesAreNamedAsSuch) {
  EXPECT_THAT(refusal(std::string("PK\x03\x04 a zip archive")), HasSubstr("is not a GGUF file"));
  EXPECT_THAT(refusal(std::string("GGU")), HasSubstr("is not a GGUF file"));
  EXPECT_THAT(refusal(std::string("ggml")), HasSubstr("is not a GGUF file"));
  EXPECT_THAT(refusal(std::string()), HasSubstr("empty"));
  EXPECT_FALSE(GgufFile::looks_like(folder_.path() / "m.gguf"));
  EXPECT_FALSE(GgufFile::looks_like(folder_.path()));
  EXPECT_TRUE(GgufFile::looks_like(folder_.write("g", "GGUF")));
}

TEST_F(GgufTest, MissingFilesAndFoldersAreNamed) {
  const auto missing = GgufFile::open(folder_.path() / "none.gguf");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("none.gguf"));
  const auto a_folder = GgufFile::open(folder_.path());
  ASSERT_FALSE(a_folder);
  EXPECT_EQ(a_folder.error().code, ErrorCode::kIo);
  EXPECT_THAT(a_folder.error().message, HasSubstr("folder"));
}

TEST_F(GgufTest, OtherVersionsAndBigEndianAreRefusedByName) {
  for (const uint32_t version : {0u, 1u, 4u, 77u, 0xffffffffu}) {
    GgufBuilder builder = small();
    builder.version = version;
    EXPECT_THAT(refusal(builder, ErrorCode::kUnsupported), HasSubstr("version " + std::to_string(version)));
  }
  GgufBuilder builder = small();
  builder.version = 0x03000000;
  EXPECT_THAT(refusal(builder, ErrorCode::kUnsupported), HasSubstr("big-endian"));
}

TEST_F(GgufTest, TruncationAtEveryByteIsRefused) {
  const std::string whole = small().build();
  const size_t last_needed = whole.size() - 16;  // the last tensor has 16 bytes, the padding after it 16
  for (size_t size = 1; size < last_needed; ++size) {
    const auto file = open(whole.substr(0, size));
    ASSERT_FALSE(file) << "opened with " << size << " of " << whole.size() << " bytes";
    ASSERT_EQ(file.error().code, ErrorCode::kInvalidFile) << file.error().message;
  }
  EXPECT_TRUE(open(whole.substr(0, last_needed)));
}

TEST_F(GgufTest, CountsBeyondTheFileAreRefusedBeforeAnythingIsAllocated) {
  for (const uint64_t count : {uint64_t{1000}, uint64_t{1} << 40, UINT64_MAX}) {
    GgufBuilder many_entries = small();
    many_entries.n_metadata = count;
    refusal(many_entries);
    GgufBuilder many_tensors = small();
    many_tensors.n_tensors = count;
    refusal(many_tensors);
    for (const uint32_t type : {testing::kIdU8, testing::kIdU64, testing::kIdString}) {
      GgufBuilder array;
      array.entry("a", testing::kIdArray, Bytes().add<uint32_t>(type).add(count));
      EXPECT_THAT(refusal(array), HasSubstr("\"a\""));
    }
    GgufBuilder text;
    text.entry("s", testing::kIdString, Bytes().add(count).text("abc"));
    EXPECT_THAT(refusal(text), HasSubstr("\"s\""));
    refusal(Bytes()
                .text("GGUF")
                .add<uint32_t>(3)
                .add<uint64_t>(0)
                .add<uint64_t>(1)
                .add(count)
                .text(std::string(40, 'k'))
                .str());
  }
}

TEST_F(GgufTest, DamagedMetadataIsRefused) {
  EXPECT_THAT(refusal(GgufBuilder().entry("k", 13, Bytes().add<uint64_t>(0))), HasSubstr("unknown type, 13"));
  EXPECT_THAT(refusal(GgufBuilder().entry("k", testing::kIdArray, Bytes().add<uint32_t>(99).add<uint64_t>(0))),
              HasSubstr("unknown type, 99"));
  EXPECT_THAT(
      refusal(GgufBuilder().entry("k", testing::kIdArray, Bytes().add<uint32_t>(testing::kIdArray).add<uint64_t>(0))),
      HasSubstr("array of arrays"));
  EXPECT_THAT(refusal(GgufBuilder().entry("k", testing::kIdBool, Bytes().add<uint8_t>(2))),
              HasSubstr("neither true nor false"));
  EXPECT_THAT(refusal(GgufBuilder().u32("k", 1).u32("k", 1)), HasSubstr("occurs twice"));
  EXPECT_THAT(refusal(GgufBuilder().u32("", 1)), HasSubstr("empty key"));
  EXPECT_THAT(refusal(GgufBuilder().u32(std::string(70000, 'k'), 1)), HasSubstr("length of 70000"));
}

TEST_F(GgufTest, DamagedTensorDescriptionsAreRefused) {
  const auto with = [](const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    GgufBuilder builder;
    builder.tensor("fine", {4}, kF32, floats(4)).tensor_info("bad", dims, type, offset);
    return builder;
  };
  EXPECT_THAT(refusal(with({1, 1, 1, 1, 1}, kF32, 0)), HasSubstr("more than 4 dimensions: 5"));
  EXPECT_THAT(refusal(with({4, 0}, kF32, 0)), HasSubstr("dimension that cannot be: 0"));
  EXPECT_THAT(refusal(with({UINT64_MAX}, kF32, 0)), HasSubstr("18446744073709551615"));
  EXPECT_THAT(refusal(with({uint64_t{1} << 40, uint64_t{1} << 40}, kF32, 0)), HasSubstr("dimension that cannot be"));
  EXPECT_THAT(refusal(with({uint64_t{1} << 62, 1}, kF32, 0)), HasSubstr("larger than any file"));
  EXPECT_THAT(refusal(with({4}, 42, 0)), HasSubstr("unknown type, 42"));
  EXPECT_THAT(refusal(with({4}, 0xffffffff, 0)), HasSubstr("unknown type"));
  EXPECT_THAT(refusal(with({33}, kQ4_1, 0)), HasSubstr("Q4_1 blocks: 33"));
  EXPECT_THAT(refusal(with({288}, kQ4_K, 0)), HasSubstr("Q4_K blocks: 288"));
  EXPECT_THAT(refusal(with({}, kQ4_K, 0)), HasSubstr("Q4_K blocks: 1"));
  EXPECT_THAT(refusal(with({4}, kF32, 4)), HasSubstr("not aligned: 4"));
  EXPECT_THAT(refusal(with({4}, kF32, 32)), HasSubstr("beyond the end"));
  EXPECT_THAT(refusal(with({4}, kF32, UINT64_MAX - 31)), HasSubstr("beyond the end"));
  EXPECT_THAT(refusal(with({9}, kF32, 0)), HasSubstr("beyond the end"));
  EXPECT_THAT(refusal(with({4}, kF32, 0)), HasSubstr("overlap"));
  GgufBuilder twice;
  twice.tensor("same", {4}, kF32, floats(4)).tensor("same", {4}, kF32, floats(4));
  EXPECT_THAT(refusal(twice), HasSubstr("occurs twice"));
  EXPECT_THAT(refusal(GgufBuilder().tensor("", {4}, kF32, floats(4))), HasSubstr("empty name"));
}

TEST_F(GgufTest, AlignmentMustBeAPowerOfTwo) {
  for (const uint32_t alignment : {0u, 1u, 3u, 48u, 1u << 30}) {
    GgufBuilder builder;
    builder.u32("general.alignment", alignment).tensor("t", {4}, kF32, floats(4));
    EXPECT_THAT(refusal(builder), HasSubstr("general.alignment"));
  }
  GgufBuilder builder;
  builder.alignment = 128;
  builder.u32("general.alignment", 128).tensor("t", {4}, kF32, floats(4)).tensor("u", {4}, kF32, floats(4));
  const auto file = open(builder);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->tensor("u")->f32()[0], 1.f);
}

TEST_F(GgufTest, ListsThatWouldTakeMoreMemoryThanTheFileAreBounded) {
  std::string many = Bytes().text("GGUF").add<uint32_t>(3).add<uint64_t>(0).add<uint64_t>((1u << 20) + 1).str();
  many.resize(many.size() + (16u << 20));
  EXPECT_THAT(refusal(many), HasSubstr("too many metadata entries, 1048577"));
  many = Bytes().text("GGUF").add<uint32_t>(3).add<uint64_t>((1u << 20) + 1).add<uint64_t>(0).str();
  many.resize(many.size() + (32u << 20));
  EXPECT_THAT(refusal(many), HasSubstr("too many tensors, 1048577"));
  const Bytes empty_strings = Bytes().add<uint32_t>(testing::kIdString).add<uint64_t>((1u << 24) + 1);
  many = GgufBuilder().entry("s", testing::kIdArray, empty_strings).build();
  many.resize(many.size() + (size_t{8} << 24) + 8);
  EXPECT_THAT(refusal(many), HasSubstr("too long"));
}

TEST_F(GgufTest, TensorNamesCannotDriveTheTerminal) {
  GgufBuilder builder;
  builder.tensor_info("\x1b]0;owned\x07", {4}, 99, 0);
  const std::string message = refusal(builder);
  EXPECT_THAT(message, Not(HasSubstr("\x1b")));
  EXPECT_THAT(message, HasSubstr("\\x1b"));
}

TEST_F(GgufTest, ValuesPrintForPeople) {
  GgufBuilder builder = small();
  builder.string("long", std::string(200, 'x') + "end")
      .string("odd", "a\nb\xff")
      .i32s("many", std::vector<int32_t>(500, 7));
  const auto file = open(builder);
  ASSERT_TRUE(file);
  const auto text = [&](std::string_view key) { return (*file)->find(key)->to_string(); };
  EXPECT_EQ(text("general.architecture"), "llama");
  EXPECT_EQ(text("llama.eps"), "1e-05");
  EXPECT_EQ(text("flag"), "true");
  EXPECT_EQ(text("numbers"), "[3, -1, 7] (3 × i32)");
  EXPECT_EQ(text("words"), "[\"a\", \"\", \"ccc\"] (3 × string)");
  EXPECT_EQ(text("odd"), "a\\x0ab\\xff");
  EXPECT_EQ(text("long"), std::string(80, 'x') + "…");
  EXPECT_THAT(text("many"), HasSubstr("…] (500 × i32)"));
  EXPECT_LT(text("many").size(), 120u);
}

TEST_F(GgufTest, MutatedFilesNeverCrash) {
  GgufBuilder builder = small();
  builder.tensor("q", {32, 2}, kQ4_1, std::string(40, 'q'));
  int n_opened = 0;
  testing::for_each_mutation(builder.build(), 4000, [&](const std::string& bytes) {
    const auto file = open(bytes);
    if (!file) return;
    ++n_opened;
    uint64_t sum = 0;  // whatever opened can be read to its last byte
    for (const StoredTensor& tensor : (*file)->tensors()) {
      for (uint64_t i = 0; i < tensor.n_bytes; ++i) sum += static_cast<uint64_t>(tensor.data[i]);
      if (const auto view = tensor.view()) sum += view->n_bytes();
    }
    for (const GgufEntry& entry : (*file)->metadata()) sum += entry.value.to_string().size();
    EXPECT_GT(sum + 1, 0u);
  });
  EXPECT_GT(n_opened, 100);
  EXPECT_LT(n_opened, 3900);
}

TEST(QuotedTest, CutsAndEscapes) {
  EXPECT_EQ(in_quotes("plain ü 漢"), "\"plain ü 漢\"");
  EXPECT_EQ(printable("a\x1b[31m\x7f\xc2\x9b\xff"), "a\\x1b[31m\\x7f\\xc2\\x9b\\xff");
  EXPECT_EQ(printable("漢字漢字", 2), "漢字…");
}

}  // namespace
}  // namespace orrery
