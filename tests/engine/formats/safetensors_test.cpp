#include "engine/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/formats/hf_folder.h"
#include "kernels/embedding.h"
#include "tests/engine/formats/files.h"

namespace orrery {
namespace {

using testing::Bytes;
using testing::floats;
using ::testing::HasSubstr;
using testing::safetensors;
using testing::TempFolder;

constexpr std::string_view kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]},"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}})";

class SafetensorsTest : public ::testing::Test {
 protected:
  Result<SafetensorsFile> open(const std::string& bytes) {
    return SafetensorsFile::open(folder_.write("m.safetensors", bytes));
  }

  std::string refusal(std::string_view header, std::string_view data) {
    const auto file = open(safetensors(header, data));
    if (file) {
      ADD_FAILURE() << "opened: " << header;
      return "";
    }
    EXPECT_EQ(file.error().code, ErrorCode::kInvalidFile) << file.error().message;
    EXPECT_THAT(file.error().message, HasSubstr("m.safetensors"));
    return file.error().message;
  }

  TempFolder folder_;
};

TEST_F(SafetensorsTest, ListsTensorsByOffset) {
  const auto file = open(safetensors(kTwo, "12345678" + floats(4)));
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].name, "a");
  EXPECT_EQ(file->tensors()[0].dtype, DType::kBF16);
  const auto b = file->tensors()[1].view();
  ASSERT_TRUE(b);
  EXPECT_EQ(b->shape, (Shape{4}));
  EXPECT_EQ(b->f32()[3], 4.f);
}

TEST_F(SafetensorsTest, DataThatLiesAskewIsReadAligned) {
  for (int pad = 0; pad < 8; ++pad) {
    const std::string header =
        R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})" + std::string(static_cast<size_t>(pad), ' ');
    const auto file = open(safetensors(header, floats(3)));
    ASSERT_TRUE(file);
    const auto view = file->tensors()[0].view();
    ASSERT_TRUE(view);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % 4, 0u);
    EXPECT_EQ(view->f32()[2], 3.f);
  }
}

TEST_F(SafetensorsTest, MatricesThatLieAskewAreNotCopied) {
  const std::string header = R"({"x":{"dtype":"F32","shape":[3,1],"data_offsets":[0,12]}})";
  const std::string odd = header + std::string(header.size() % 2 == 0 ? 1 : 2, ' ');
  const auto file = open(safetensors(odd, floats(3)));
  ASSERT_TRUE(file);
  const auto view = file->tensors()[0].view();
  ASSERT_TRUE(view);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % 2, 1u);
  std::vector<float> row(1);
  dequantize_row(*view, 2, row);
  EXPECT_EQ(row[0], 3.f);
}

TEST_F(SafetensorsTest, ViewsStayValidWhenTheFileMoves) {
  auto file = open(safetensors(kTwo, "12345678" + floats(4)));
  ASSERT_TRUE(file);
  const SafetensorsFile moved = std::move(file).value();
  EXPECT_EQ(moved.tensors()[1].view()->f32()[0], 1.f);
  EXPECT_EQ(moved.tensors()[1].path, moved.path());
}

TEST_F(SafetensorsTest, EveryDtypeThatIsNotComputedOnIsRefusedByName) {
  for (const std::string name : {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "F64", "BOOL", "U8",
                                 "I8", "U16", "I16", "U32", "U64", "C64"}) {
    const size_t bytes = name.ends_with("64") ? 8 : name.ends_with("32") ? 4 : name.ends_with("16") ? 2 : 1;
    const auto file = open(safetensors(
        R"({"x":{"dtype":")" + name + R"(","shape":[2],"data_offsets":[0,)" + std::to_string(2 * bytes) + "]}}",
        std::string(2 * bytes, '\1')));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_THAT(file->tensors()[0].view().error().message, HasSubstr("dtype " + name + " cannot be computed on yet"));
  }
}

TEST_F(SafetensorsTest, OtherDtypesAreListedAndRefusedOnUse) {
  const auto file = open(safetensors(R"({"x":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},)"
                                     R"("five":{"dtype":"U8","shape":[1,1,1,1,1],"data_offsets":[3,4]},)"
                                     R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},)"
                                     R"("five floats":{"dtype":"F32","shape":[1,1,1,1,1],"data_offsets":[4,8]}})",
                                     "12345678"));
  ASSERT_TRUE(file) << file.error().message;
  for (const StoredTensor& tensor : file->tensors()) {
    const auto view = tensor.view();
    ASSERT_FALSE(view) << tensor.name;
    EXPECT_EQ(view.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(view.error().message, HasSubstr(tensor.name));
  }
  EXPECT_THAT(file->tensors()[0].view().error().message, HasSubstr("F8_E4M3"));
}

TEST_F(SafetensorsTest, DamagedHeadersAreRefused) {
  const auto entry = [](std::string_view fields) { return R"({"x":{)" + std::string(fields) + "}}"; };
  const std::string four(4, '\0');
  EXPECT_THAT(refusal("not json", ""), HasSubstr("JSON"));
  EXPECT_THAT(refusal("[1]", ""), HasSubstr("not an object"));
  EXPECT_THAT(refusal("{\"\xff\":1}", ""), HasSubstr("JSON"));
  EXPECT_THAT(refusal(R"({"x":1})", ""), HasSubstr("\"x\""));
  EXPECT_THAT(
      refusal(
          R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
          ""),
      HasSubstr("twice"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F31","shape":[1],"data_offsets":[0,4])"), four),
              HasSubstr("unknown dtype, \"F31\""));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), four),
              HasSubstr("should take 8 bytes"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), four), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"), four), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), four), HasSubstr("shape"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])"), four), HasSubstr("shape"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4])"), four),
              HasSubstr("shape"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4])"), four),
              HasSubstr("size"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), four), HasSubstr("beyond the end"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), four + four),
              HasSubstr("hole or overlap"));
  EXPECT_THAT(refusal(entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), four + four), HasSubstr("no tensor"));
  EXPECT_THAT(
      refusal(
          R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
          four),
      HasSubstr("overlap"));
  EXPECT_THAT(refusal(R"({"x":)" + std::string(100000, '[') + std::string(100000, ']') + "}", ""),
              HasSubstr("nested deeper"));
}

TEST_F(SafetensorsTest, HeaderLengthIsHeldAgainstTheFile) {
  for (const uint64_t length : {uint64_t{100}, uint64_t{100'000'001}, UINT64_MAX, UINT64_MAX - 7}) {
    const auto file = open(Bytes().add(length).text("{}").str());
    ASSERT_FALSE(file) << length;
    EXPECT_THAT(file.error().message, HasSubstr(std::to_string(length)));
  }
  EXPECT_FALSE(open("1234567"));
}

TEST_F(SafetensorsTest, TruncationAtEveryByteIsRefused) {
  const std::string whole = safetensors(kTwo, "12345678" + floats(4));
  for (size_t size = 1; size < whole.size(); ++size) ASSERT_FALSE(open(whole.substr(0, size))) << size;
}

TEST_F(SafetensorsTest, MutatedFilesNeverCrash) {
  int n_opened = 0;
  testing::for_each_mutation(safetensors(kTwo, "12345678" + floats(4)), 3000, [&](const std::string& bytes) {
    const auto file = open(bytes);
    if (!file) return;
    ++n_opened;
    for (const StoredTensor& tensor : file->tensors()) {
      const auto view = tensor.view();
      EXPECT_TRUE(!view || view->n_bytes() == tensor.n_bytes);
    }
  });
  EXPECT_GT(n_opened, 100);
}

class HfFolderTest : public ::testing::Test {
 protected:
  void write_single() {
    folder_.write("config.json", R"({"model_type":"llama","hidden_size":64})");
    write_single_weights();
  }
  void write_single_weights() { folder_.write("model.safetensors", safetensors(kTwo, "12345678" + floats(4))); }
  void write_shards(const std::string& index) {
    folder_.write("config.json", "{}");
    folder_.write("model.safetensors.index.json", index);
    folder_.write("s1.safetensors",
                  safetensors(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", floats(2)));
    folder_.write("s2.safetensors",
                  safetensors(R"({"y":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", floats(3)));
  }
  std::string refusal() {
    const auto opened = HfFolder::open(folder_.path());
    if (opened) {
      ADD_FAILURE() << "a damaged folder opened";
      return "";
    }
    return opened.error().message;
  }

  TempFolder folder_;
};

TEST_F(HfFolderTest, OneFileOpens) {
  write_single();
  EXPECT_TRUE(HfFolder::looks_like(folder_.path()));
  const auto opened = HfFolder::open(folder_.path());
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ((*opened)->config()["hidden_size"], 64);
  EXPECT_EQ((*opened)->tensor("b")->f32()[1], 2.f);
  EXPECT_EQ((*opened)->find_tensor("nothing"), nullptr);
}

TEST_F(HfFolderTest, ShardsOpen) {
  write_shards(R"({"metadata":{},"weight_map":{"x":"s1.safetensors","y":"s2.safetensors"}})");
  const auto opened = HfFolder::open(folder_.path());
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ((*opened)->shards().size(), 2u);
  EXPECT_EQ((*opened)->tensor("y")->f32()[2], 3.f);
  EXPECT_THAT(std::string((*opened)->find_tensor("y")->path), HasSubstr("s2.safetensors"));
}

TEST_F(HfFolderTest, FilesOfOtherNamesOpenWithoutAnIndex) {
  write_shards("{}");
  std::filesystem::remove(folder_.path() / "model.safetensors.index.json");
  const auto opened = HfFolder::open(folder_.path());
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_TRUE((*opened)->tensor("x") && (*opened)->tensor("y"));
}

TEST_F(HfFolderTest, IndexesThatLieAreRefused) {
  write_shards(R"({"weight_map":{"x":"s1.safetensors","y":"s1.safetensors"}})");
  EXPECT_THAT(refusal(), HasSubstr("does not hold the tensor \"y\""));
  write_shards(R"({"weight_map":{"x":"s1.safetensors","y":"s3.safetensors"}})");
  EXPECT_THAT(refusal(), HasSubstr("s3.safetensors"));
  write_shards(R"({"weight_map":{}})");
  EXPECT_THAT(refusal(), HasSubstr("empty"));
  write_shards(R"({"weight":1})");
  EXPECT_THAT(refusal(), HasSubstr("weight_map"));
  write_shards(R"({"weight_map":{"x":7}})");
  EXPECT_THAT(refusal(), HasSubstr("7"));
  folder_.write("s2.safetensors", safetensors(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", floats(2)));
  folder_.write("model.safetensors.index.json", R"({"weight_map":{"x":"s1.safetensors","y":"s2.safetensors"}})");
  EXPECT_THAT(refusal(), HasSubstr("two shards hold"));
}

TEST_F(HfFolderTest, ATensorThatIsListedTwiceIsRefused) {
  write_shards(R"({"weight_map":{"x":"s1.safetensors","x":"s2.safetensors","y":"s2.safetensors"}})");
  EXPECT_THAT(refusal(), HasSubstr("a key occurs twice in its JSON, \"x\""));
  // The same key in objects beside each other, or deeper, is none of its business.
  folder_.write("config.json", R"({"a":{"k":1},"b":{"k":2,"c":{"k":3,"k":4}}})");
  write_single_weights();
  EXPECT_TRUE(HfFolder::open(folder_.path()));
}

TEST_F(HfFolderTest, DeepIndexesAndMissingShardsAreRefused) {
  write_shards(R"({"weight_map":)" + std::string(200000, '[') + "}");
  EXPECT_THAT(refusal(), HasSubstr("nested deeper"));
  write_shards(R"({"weight_map":{"x":"s1.safetensors","y":"s2.safetensors"}})");
  std::filesystem::remove(folder_.path() / "s2.safetensors");
  EXPECT_THAT(refusal(), HasSubstr("lacks the file \"s2.safetensors\""));
  std::filesystem::create_symlink("s2.safetensors", folder_.path() / "s2.safetensors");  // a link to itself
  EXPECT_THAT(refusal(), HasSubstr("lacks the file \"s2.safetensors\""));
}

TEST_F(HfFolderTest, MutatedIndexesNeverCrash) {
  int n_opened = 0;
  testing::for_each_mutation(
      R"({"metadata":{"total_size":20},"weight_map":{"x":"s1.safetensors","y":"s2.safetensors"}})", 500,
      [&](const std::string& index) {
        write_shards(index);
        const auto opened = HfFolder::open(folder_.path());
        if (!opened) return;
        ++n_opened;
        EXPECT_LE((*opened)->tensors().size(), 2u);
      });
  EXPECT_GT(n_opened, 0);
  EXPECT_LT(n_opened, 490);
}

TEST_F(HfFolderTest, ShardsOutsideTheFolderAreRefused) {
  for (const std::string name : {"../s1.safetensors", "/etc/s1.safetensors", "a/../s1.safetensors", "..", "",
                                 "a\\\\b.safetensors", "s1.safetensors\\u0000.safetensors", "config.json"}) {
    write_shards(R"({"weight_map":{"x":")" + name + R"("}})");
    EXPECT_THAT(refusal(), HasSubstr("plain .safetensors file")) << name;
  }
}

TEST_F(HfFolderTest, LinksMayNotLeaveTheFolderButForAHubCache) {
  write_single();
  const TempFolder elsewhere;
  elsewhere.write("model.safetensors", safetensors(kTwo, "12345678" + floats(4)));
  std::filesystem::remove(folder_.path() / "model.safetensors");
  std::filesystem::create_symlink(elsewhere.path() / "model.safetensors", folder_.path() / "model.safetensors");
  EXPECT_THAT(refusal(), HasSubstr("leaves the folder"));

  const std::filesystem::path snapshot = folder_.path() / "snapshots" / "abc";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directories(folder_.path() / "blobs");
  folder_.write("blobs/1", "{}");
  folder_.write("blobs/2", safetensors(kTwo, "12345678" + floats(4)));
  std::filesystem::create_symlink("../../blobs/1", snapshot / "config.json");
  std::filesystem::create_symlink("../../blobs/2", snapshot / "model.safetensors");
  EXPECT_TRUE(HfFolder::open(snapshot));
}

TEST_F(HfFolderTest, MissingPartsAreNamed) {
  EXPECT_THAT(HfFolder::open(folder_.path() / "none").error().message, HasSubstr("none"));
  EXPECT_THAT(refusal(), HasSubstr("config.json"));
  folder_.write("config.json", "{}");
  EXPECT_THAT(refusal(), HasSubstr("no weights"));
  folder_.write("config.json", "{");
  EXPECT_THAT(refusal(), HasSubstr("config.json"));
  folder_.write("config.json", "[]");
  EXPECT_THAT(refusal(), HasSubstr("not an object"));
}

}  // namespace
}  // namespace orrery
