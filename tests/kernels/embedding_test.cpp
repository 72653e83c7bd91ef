#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/random_tensors.h"
#include "tests/support/npy.h"

namespace orrery {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(DequantizeRow, ReadsBlocksAsTheFormatSaysSo) {
  std::vector<float> out(32);
  std::vector<std::byte> q8 = bytes_of({0x00, 0x38});  // d = 0.5
  for (int i = 0; i < 32; ++i) q8.push_back(static_cast<std::byte>(i == 31 ? -128 : i));
  dequantize_row({DType::kQ8_0, Shape({1, 32}), q8.data()}, 0, out);
  EXPECT_EQ(out[3], 1.5f);
  EXPECT_EQ(out[31], -64.0f);

  std::vector<std::byte> q4 = bytes_of({0x00, 0x40});  // d = 2; low nibbles are the first 16 elements
  for (int i = 0; i < 16; ++i) q4.push_back(static_cast<std::byte>(i | (15 - i) << 4));
  dequantize_row({DType::kQ4_0, Shape({1, 32}), q4.data()}, 0, out);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(out[static_cast<size_t>(i)], 2.0f * static_cast<float>(i - 8));
    EXPECT_EQ(out[static_cast<size_t>(i + 16)], 2.0f * static_cast<float>(7 - i));
  }

  q4.insert(q4.begin() + 2, {std::byte{0x00}, std::byte{0xbc}});  // m = -1
  dequantize_row({DType::kQ4_1, Shape({1, 32}), q4.data()}, 0, out);
  EXPECT_EQ(out[0], -1.0f);
  EXPECT_EQ(out[15], 29.0f);
  EXPECT_EQ(out[16], 29.0f);
}

// The goldens hold random bytes; of the scales, also the least, a negative subnormal, the greatest, and minus zero.
TEST(DequantizeRow, EveryQuantizedTypeIsBitForBitThatOfGgufsReference) {
  const std::filesystem::path folder = std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/goldens/quants";
  for (DType dtype : kQuantizedTypes) {
    const std::string name(dtype_name(dtype));
    const auto blocks = testing::read_npy<uint8_t>(folder / (name + ".blocks.npy"));
    const auto expected = testing::read_npy<float>(folder / (name + ".values.npy"));
    const auto n_rows = static_cast<int64_t>(expected.shape.at(0)), n_cols = static_cast<int64_t>(expected.shape.at(1));
    const TensorView weight{dtype, Shape({n_rows, n_cols}), reinterpret_cast<const std::byte*>(blocks.values.data())};
    ASSERT_EQ(weight.n_bytes(), blocks.values.size()) << name;
    std::vector<float> out(expected.shape[1]);
    for (int64_t row = 0; row < n_rows; ++row) {
      dequantize_row(weight, row, out);
      for (size_t i = 0; i < out.size(); ++i) {
        const float wanted = expected.at(row, i);
        ASSERT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(wanted))
            << name << ", row " << row << ", element " << i << ": " << out[i] << " instead of " << wanted;
      }
    }
  }
}

TEST(DequantizeRow, ReadsTheRowAsked) {
  for (DType dtype : kWeightTypes) {
    const RandomWeight weight(dtype, 3, 512, 1, 2);
    std::vector<float> alone(512), out(512);
    for (int64_t row = 0; row < 3; ++row) {
      dequantize_row(weight.view(), row, out);
      dequantize_row({dtype, Shape({1, 512}), weight.view().row(row)}, 0, alone);
      EXPECT_EQ(out, alone) << dtype_name(dtype);
    }
  }
}

TEST(HalfFloats, SurviveTheWayThereAndBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits)), wide = bf16_to_f32(static_cast<uint16_t>(bits));
    if (!std::isnan(value)) {
      ASSERT_EQ(f32_to_f16(value), bits);
    }
    if (std::isnan(wide)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(wide))));
    } else {
      ASSERT_EQ(f32_to_bf16(wide), bits);
    }
  }
  EXPECT_EQ(f32_to_bf16(1.00390625f), 0x3f80);  // a tie goes to the even one
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7c00);
}

}  // namespace
}  // namespace orrery
