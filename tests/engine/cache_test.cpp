#include "engine/cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

std::vector<LayerState> two_layers(int64_t window_of_second) {
  StateSpec full;
  full.dtype = DType::kF32;
  full.n_kv_heads = 2;
  full.d_head_k = 3;
  full.d_head_v = 5;
  StateSpec windowed = full;
  windowed.dtype = DType::kF16;
  windowed.window = window_of_second;
  return {{.key = {.layer = 0}, .spec = full}, {.key = {.layer = 1}, .spec = windowed}};
}

TEST(Cache, KeepsOnePageFor64Tokens) {
  Cache cache(two_layers(0), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(64));
  EXPECT_EQ(cache.pages(0, 0).keys.size(), 1U);
  cache.advance(64);
  ASSERT_TRUE(cache.reserve(1));
  EXPECT_EQ(cache.pages(0, 0).keys.size(), 2U);
  EXPECT_EQ(cache.length(), 64);
}

TEST(Cache, DropsPagesThatAWindowCannotReach) {
  Cache cache(two_layers(10), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(200));
  cache.advance(72);  // the next row, at 72, sees 63..72
  EXPECT_NE(cache.pages(1, 0).keys[0], nullptr);
  cache.advance(1);  // the next row, at 73, sees 64..73
  EXPECT_EQ(cache.pages(1, 0).keys[0], nullptr);
  EXPECT_NE(cache.pages(1, 0).keys[1], nullptr);
  EXPECT_NE(cache.pages(0, 0).keys[0], nullptr);
}

TEST(Cache, ForksShareThePastUntilOneOfThemWrites) {
  Cache cache(two_layers(0), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(70));
  std::memset(cache.key_page(0, 0, 69), 7, 16);
  cache.advance(70);
  auto fork = cache.fork();
  ASSERT_TRUE(fork);
  EXPECT_EQ(fork->pages(0, 0).keys[0], cache.pages(0, 0).keys[0]);
  ASSERT_TRUE(fork->reserve(1));
  EXPECT_EQ(fork->pages(0, 0).keys[0], cache.pages(0, 0).keys[0]) << "a full page is never copied";
  ASSERT_NE(fork->pages(0, 0).keys[1], cache.pages(0, 0).keys[1]);
  std::memset(fork->key_page(0, 0, 70), 9, 16);
  EXPECT_EQ(std::to_integer<int>(cache.pages(0, 0).keys[1][0]), 7);
  EXPECT_EQ(std::to_integer<int>(fork->pages(0, 0).values[1][0]), 0);
}

TEST(Cache, UsageCountsWhatIsHeldAndWhatWasDropped) {
  const auto states = two_layers(10);
  const int64_t full_token = 2 * (3 + 5) * 4, windowed_token = 2 * (3 + 5) * 2;
  EXPECT_EQ(usage_after(states, 0, 99).bytes[0], 100 * full_token);
  EXPECT_EQ(usage_after(states, 0, 99).evicted, 0);
  EXPECT_EQ(usage_after(states, 1, 4).bytes[0], 5 * windowed_token);
  EXPECT_EQ(usage_after(states, 1, 99).bytes[0], 10 * windowed_token);
  EXPECT_EQ(usage_after(states, 1, 99).entries, 10);
  EXPECT_EQ(usage_after(states, 1, 99).evicted, 90);
}

TEST(Cache, IsCutBackOnlyWhereNothingWasForgotten) {
  Cache windowed(two_layers(10), make_cpu_backend(1));
  ASSERT_TRUE(windowed.reserve(5));
  windowed.advance(5);
  EXPECT_FALSE(windowed.truncate(2));
  Cache full(two_layers(0), make_cpu_backend(1));
  ASSERT_TRUE(full.reserve(100));
  full.advance(100);
  ASSERT_TRUE(full.truncate(30));
  EXPECT_EQ(full.length(), 30);
  EXPECT_EQ(full.pages(0, 0).keys.size(), 1U);
}

}  // namespace
}  // namespace orrery::testing
