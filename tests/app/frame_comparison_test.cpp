#include "app/frame_comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace orrery {
namespace {

// attention.row of one layer and one head, `n_keys` wide.
Frame row_frame(int64_t begin, int64_t n_keys, const std::vector<float>& values) {
  Frame frame;
  frame.probe = find_probe("attention.row");
  frame.step_begin = begin;
  frame.step_end = begin + static_cast<int64_t>(values.size()) / n_keys;
  frame.layers = {2};
  frame.shape = {frame.n_steps(), 1, 1, n_keys};
  frame.payload_bytes = values.size() * sizeof(float);
  const std::shared_ptr<std::byte[]> memory = std::make_shared<std::byte[]>(frame.payload_bytes);
  std::memcpy(memory.get(), values.data(), frame.payload_bytes);
  frame.payload = std::shared_ptr<const std::byte>(memory, memory.get());
  return frame;
}

TEST(FrameComparison, LooksOnlyAtKeysThatARowSees) {
  FrameComparison comparison;
  // Steps 0 and 1, recorded three wide, computed two wide; what lies beyond the row's own key means nothing.
  comparison.compare(row_frame(0, 3, {1, 9, 9, 0.25f, 0.75f, 9}), row_frame(0, 2, {1, 0, 0.25f, 0.75f}));
  EXPECT_EQ(comparison.n_values(), 3);
  EXPECT_EQ(comparison.n_other_bits(), 0);
  EXPECT_FALSE(comparison.first_difference().has_value());
}

TEST(FrameComparison, NamesTheEarliestDifference) {
  FrameComparison comparison;
  comparison.compare(row_frame(5, 8, {1, 2, 3, 4, 5, 6, 0, 0}), row_frame(5, 8, {1, 2, 3, 4, 5, 7, 0, 0}));
  comparison.compare(row_frame(4, 8, {1, 2, 3, 4, 5, 0, 0, 0}), row_frame(4, 8, {1, 2, 8, 4, 5, 0, 0, 0}));
  ASSERT_TRUE(comparison.first_difference().has_value());
  EXPECT_EQ(comparison.first_difference()->step, 4);
  EXPECT_EQ(comparison.first_difference()->layer, 2);
  EXPECT_EQ(comparison.first_difference()->head, 0);
  EXPECT_EQ(comparison.first_difference()->index, 2);
  EXPECT_EQ(comparison.first_difference()->recorded, 3);
  EXPECT_EQ(comparison.first_difference()->recomputed, 8);
  EXPECT_EQ(comparison.n_other_bits(), 2);
}

TEST(FrameComparison, ToleratesLastDigitsOnlyWhereBitsNeedNotAgree) {
  const Frame recorded = row_frame(1, 2, {0.5f, 0.5f});
  const Frame near = row_frame(1, 2, {0.5f, 0.5001f});
  FrameComparison exact(true);
  exact.compare(recorded, near);
  EXPECT_TRUE(exact.first_difference().has_value());
  FrameComparison tolerant(false);
  tolerant.compare(recorded, near);
  EXPECT_FALSE(tolerant.first_difference().has_value());
  EXPECT_EQ(tolerant.n_other_bits(), 1);
  FrameComparison far(false);
  far.compare(recorded, row_frame(1, 2, {0.4f, 0.6f}));
  EXPECT_TRUE(far.first_difference().has_value());
  FrameComparison nan(false);
  nan.compare(recorded, row_frame(1, 2, {NAN, 0.5f}));
  EXPECT_TRUE(nan.first_difference().has_value());
}

TEST(FrameComparison, OtherLayersAreADifference) {
  Frame other = row_frame(1, 2, {0.5f, 0.5f});
  other.layers = {3};
  FrameComparison comparison(false);
  comparison.compare(row_frame(1, 2, {0.5f, 0.5f}), other);
  ASSERT_TRUE(comparison.first_difference().has_value());
  EXPECT_TRUE(comparison.first_difference()->shape);
}

}  // namespace
}  // namespace orrery
