#include "engine/models/tensor_placer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/formats/files.h"

namespace orrery {
namespace {

using testing::floats;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::TempFolder;

constexpr uint32_t kF32 = 0, kQ80 = 8, kIq2Xxs = 16, kI32 = 26, kF64 = 28;

class TensorPlacerTest : public ::testing::Test {
 protected:
  void open(const GgufBuilder& builder) {
    auto opened = ModelFile::open(folder_.write("m.gguf", builder.build()));
    ASSERT_TRUE(opened) << opened.error().message;
    file_ = *opened;
  }
  std::string refusal(const TensorPlacer& placer) {
    const Result<void> status = placer.status();
    if (status) {
      ADD_FAILURE() << "placed";
      return "";
    }
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(status.error().message, HasSubstr("m.gguf"));
    return status.error().message;
  }

  static constexpr TensorName kTensor{"t", "t"};
  TempFolder folder_;
  std::shared_ptr<const ModelFile> file_;
  std::shared_ptr<Backend> backend_ = make_cpu_backend(1);
  const Placement placement_{.backend = *backend_, .progress = {}};
};

TEST_F(TensorPlacerTest, VectorsThatAreNoFloatsAreRefused) {
  struct Case {
    uint32_t type;
    std::string name, data;
  };
  for (const Case& stored : {Case{kI32, "I32", std::string(128, '\1')}, Case{kQ80, "Q8_0", std::string(34, '\1')},
                             Case{kF64, "F64", std::string(256, '\1')}}) {
    GgufBuilder builder;
    builder.tensor("t", {32}, stored.type, stored.data);
    open(builder);
    TensorPlacer placer(*file_, placement_);
    placer.vector(kTensor, -1, 32);
    EXPECT_THAT(refusal(placer), HasSubstr(stored.name));
  }
}

TEST_F(TensorPlacerTest, MatricesThatCannotBeMultipliedAreRefused) {
  GgufBuilder builder;
  builder.tensor("t", {32, 2}, kI32, std::string(256, '\1'));
  open(builder);
  TensorPlacer integers(*file_, placement_);
  integers.matrix(kTensor, -1, 2, 32);
  EXPECT_THAT(refusal(integers), HasSubstr("I32"));

  GgufBuilder other;
  other.tensor("t", {256, 2}, kIq2Xxs, std::string(132, '\1'));
  open(other);
  TensorPlacer unknown(*file_, placement_);
  unknown.matrix(kTensor, -1, 2, 256);
  EXPECT_THAT(refusal(unknown), HasSubstr("IQ2_XXS"));
}

TEST_F(TensorPlacerTest, FloatVectorsArePlaced) {
  GgufBuilder builder;
  builder.tensor("t", {4}, kF32, floats(4));
  open(builder);
  TensorPlacer placer(*file_, placement_);
  const TensorView placed = placer.vector(kTensor, -1, 4);
  ASSERT_TRUE(placer.status());
  EXPECT_EQ(placed.f32()[3], 4.f);
}

// Rows 1 and 2 of each of two parts of three.
TEST_F(TensorPlacerTest, RowsOfEveryPartAreTurned) {
  GgufBuilder builder;
  builder.tensor("t", {4, 6}, kF32, floats(24));
  open(builder);
  TensorPlacer placer(*file_, placement_);
  const std::vector<TensorView> turned = placer.turned_rows(kTensor, -1, 2, 3, 4, 1, 2);
  ASSERT_TRUE(placer.status());
  ASSERT_EQ(turned.size(), 2u);
  const TensorView whole = placer.matrix(kTensor, -1, 6, 4);
  for (int64_t part = 0; part < 2; ++part) {
    const TensorView& of_part = turned[static_cast<size_t>(part)];
    EXPECT_EQ(of_part.shape, (Shape{4, 2}));
    for (int64_t i = 0; i < 8; ++i) {
      EXPECT_EQ(of_part.f32()[i], whole.f32()[(part * 3 + 1 + i % 2) * 4 + i / 2]) << part << " " << i;
    }
  }
}

TEST_F(TensorPlacerTest, QuantizedRowsAreTurnedAsFloats) {
  GgufBuilder builder;
  builder.tensor("t", {32, 2}, kQ80,
                 std::string("\0\x3c", 2) + std::string(32, '\5') + std::string("\0\x40", 2) + std::string(32, '\7'));
  open(builder);
  TensorPlacer placer(*file_, placement_);
  const std::vector<TensorView> turned = placer.turned_rows(kTensor, -1, 1, 2, 32, 0, 2);
  ASSERT_TRUE(placer.status());
  ASSERT_EQ(turned.size(), 1u);
  EXPECT_EQ(turned[0].dtype, DType::kF32);
  for (int64_t c = 0; c < 32; ++c) {
    EXPECT_EQ(turned[0].f32()[2 * c], 5.0f);
    EXPECT_EQ(turned[0].f32()[2 * c + 1], 14.0f);
  }
}

}  // namespace
}  // namespace orrery
