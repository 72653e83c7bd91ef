// The .npy reader that golden tests stand on: values, shapes, and files that must not be accepted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/npy.h"

namespace orrery::testing {
namespace {

using ::testing::ElementsAre;

class NpyFile : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  // Writes version 1 with the given header dict and payload bytes.
  void write(const std::string& dict, const std::string& payload) const {
    std::string header = dict;
    header.append(63 - (10 + dict.size()) % 64, ' ');
    header += '\n';
    std::ofstream out(path_, std::ios::binary);
    out << "\x93NUMPY" << '\x01' << '\0' << static_cast<char>(header.size() & 255)
        << static_cast<char>(header.size() >> 8) << header << payload;
  }

  template <typename T>
  static std::string bytes_of(std::initializer_list<T> values) {
    return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T));
  }

  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("orrery_npy_" + std::to_string(getpid()) + ".npy");
};

TEST_F(NpyFile, ReadsValuesAndShapeOutermostFirst) {
  write("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", bytes_of({0.f, 1.f, 2.f, 10.f, 11.f, -0.5f}));
  const auto array = read_npy<float>(path_);
  EXPECT_THAT(array.shape, ElementsAre(2, 3));
  EXPECT_FLOAT_EQ(array.at(1, 0), 10.f);
  EXPECT_FLOAT_EQ(array.at(1, 2), -0.5f);
  EXPECT_THROW(array.at(0, 3), std::out_of_range);
  EXPECT_THROW(array.at(0), std::out_of_range);
}

TEST_F(NpyFile, ReadsIntegersOneDimensionEmptyAndScalar) {
  write("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", bytes_of<int64_t>({-1, int64_t{1} << 40}));
  EXPECT_THAT(read_npy<int64_t>(path_).values, ElementsAre(-1, int64_t{1} << 40));
  write("{'descr': '<i4', 'fortran_order': False, 'shape': (0, 5), }", "");
  EXPECT_THAT(read_npy<int32_t>(path_).shape, ElementsAre(0, 5));
  write("{'descr': '<i4', 'fortran_order': False, 'shape': (), }", bytes_of<int32_t>({7}));
  EXPECT_THAT(read_npy<int32_t>(path_).values, ElementsAre(7));
}

TEST_F(NpyFile, RefusesAnotherTypeOrderSizeOrFormat) {
  write("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", bytes_of({1.0}));
  EXPECT_THROW(read_npy<float>(path_), std::runtime_error);
  write("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", bytes_of({1.0f}));
  EXPECT_THROW(read_npy<float>(path_), std::runtime_error);
  write("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", bytes_of({1.0f, 2.0f}));
  EXPECT_THROW(read_npy<float>(path_), std::runtime_error);
  std::ofstream(path_, std::ios::binary) << "NUMPY, not quite";
  EXPECT_THROW(read_npy<float>(path_), std::runtime_error);
  EXPECT_THROW(read_npy<float>(path_.string() + ".absent"), std::runtime_error);
}

TEST(Goldens, HoldDistributionsWhereTheySaySo) {
  const std::filesystem::path folder = std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/goldens/llama/c";
  const auto tokens = read_npy<int32_t>(folder / "tokens.npy");
  const auto rows = read_npy<float>(folder / "attention_row.npy");
  ASSERT_THAT(rows.shape, ElementsAre(tokens.shape[0], 2, 4, tokens.shape[0]));
  for (size_t t = 0; t < tokens.shape[0]; ++t) {
    double sum = 0;
    for (size_t key = 0; key < tokens.shape[0]; ++key) sum += rows.at(t, 1, 3, key);
    EXPECT_NEAR(sum, 1.0, 1e-5) << "row " << t;
    if (t + 1 < tokens.shape[0]) {
      EXPECT_EQ(rows.at(t, 0, 0, t + 1), 0.f) << "a row looks ahead at " << t;
    }
  }
}

}  // namespace
}  // namespace orrery::testing
