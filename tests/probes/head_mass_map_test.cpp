#include "probes/head_mass_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "probes/frame_history.h"

namespace orrery {
namespace {

constexpr int32_t kLayers = 3, kHeads = 4;

float mass(int64_t step, int32_t layer, int32_t head, int64_t block) {
  return static_cast<float>((step * 31 + layer * 7 + head * 5 + block * 3) % 101) * 0.01f + 0.001f;
}

Frame mass_frame(int64_t begin, int64_t end) {
  Frame frame;
  frame.probe = find_probe("attention.mass");
  frame.step_begin = begin;
  frame.step_end = end;
  frame.layers = {2, 5, 9};
  const int64_t n_blocks = (end - 1) / 64 + 1;
  frame.shape = {end - begin, kLayers, kHeads, n_blocks};
  std::vector<float> values;
  for (int64_t step = begin; step < end; ++step) {
    for (const int32_t layer : frame.layers) {
      for (int32_t head = 0; head < kHeads; ++head) {
        for (int64_t block = 0; block < n_blocks; ++block) {
          values.push_back(block <= step / 64 ? mass(step, layer, head, block) : 0.0f);
        }
      }
    }
  }
  frame.payload_bytes = values.size() * sizeof(float);
  const std::shared_ptr<std::byte[]> bytes(new std::byte[frame.payload_bytes]);
  std::memcpy(bytes.get(), values.data(), frame.payload_bytes);
  frame.payload = std::shared_ptr<const std::byte>(bytes, bytes.get());
  return frame;
}

void expect_rows(const HeadMassMap& map, int64_t begin, int64_t end) {
  for (const int level : {0, 1, 3, 6, 12}) {
    for (int64_t index = begin >> level; index << level < end; ++index) {
      const int64_t first = std::max(begin, index << level), last = std::min(end, (index + 1) << level);
      ASSERT_EQ(map.n_steps(index, level), last - first) << level;
      const std::span<const float> row = map.row(index, level);
      ASSERT_EQ(std::ssize(row), (last - 1) / 64 + 1);
      for (int64_t block = 0; block < std::ssize(row); ++block) {
        float most = 0;
        for (int64_t step = first; step < last; ++step) {
          if (block <= step / 64) most = std::max(most, mass(step, map.layer(), map.head(), block));
        }
        ASSERT_EQ(row[static_cast<size_t>(block)], most) << "level " << level << " row " << index;
      }
    }
  }
}

TEST(HeadMassMap, HasTheLargestOfEachRowAtEveryLevel) {
  HeadMassMap map(5, 3);
  const Frame prompt = mass_frame(0, 100);
  map.add(prompt, 0, 100);
  for (int64_t step = 100; step < 300; ++step) map.add(mass_frame(step, step + 1), 0, 1000);
  map.add(prompt, 0, 100);  // again: nothing changes
  expect_rows(map, 0, 300);
  EXPECT_EQ(map.n_steps(300, 0), 0);
  EXPECT_TRUE(map.row(300, 0).empty());
}

// Cells of a recording, before their steps, after them, or of both lengths: the same rows at every level that they
// reach, and no step is counted twice.
TEST(HeadMassMap, TakesCellsAsTheirStepsWouldBe) {
  std::vector<Frame> cells;
  LevelBuilder builder;
  builder.add(mass_frame(0, 700), [&](const Frame& cell) { cells.push_back(cell); });
  const auto add_cells = [&](HeadMassMap& map, int depth) {
    for (const Frame& cell : cells) {
      if (depth_of(cell.level) == depth) map.add(cell, 0, 1000);
    }
  };
  const std::vector<std::vector<int>> orders{{2, 0}, {0, 2}, {3, 2, 0}, {2, 3, 0}, {4, 3, 0, 2}};
  for (const std::vector<int>& order : orders) {
    HeadMassMap map(5, 3);
    for (const int depth : order) {
      depth == 0 ? map.add(mass_frame(0, 700), 0, 700) : add_cells(map, depth);
    }
    expect_rows(map, 0, 700);
    EXPECT_EQ(map.source()->origin, Origin::kLive);
  }
  HeadMassMap map(5, 3);
  add_cells(map, 3);  // of 128 steps: five
  EXPECT_EQ(map.n_steps(0, 7), 128);
  EXPECT_EQ(map.n_steps(0, 12), 640);
  EXPECT_FALSE(map.has(5));
  EXPECT_EQ(map.shown_level(0, 640, 3, 700), 7) << "finer rows would leave out what is known";
  EXPECT_EQ(map.shown_level(640, 700, 3, 700), 3);
  map.add(mass_frame(640, 700), 0, 700);
  EXPECT_TRUE(map.is_complete(5, 7, 700));
  EXPECT_TRUE(map.has(640) && map.has(699));
}

TEST(HeadMassMap, TakesNothingOfLayersAndHeadsThatAreNotThere) {
  HeadMassMap map(4, 0);
  map.add(mass_frame(0, 10), 0, 10);
  EXPECT_EQ(map.n_steps(0, 0), 0);
  HeadMassMap beyond(5, kHeads);
  beyond.add(mass_frame(0, 10), 0, 10);
  EXPECT_EQ(beyond.n_steps(0, 0), 0);
}

TEST(FrameHistory, GathersAHeadsMassALittleAtATimeAndThenAsItComes) {
  FrameHistory history;
  history.reset({});
  history.add_frame(mass_frame(0, 90));
  for (int64_t step = 90; step < 200; ++step) history.add_frame(mass_frame(step, step + 1));
  EXPECT_EQ(history.gathered_mass(5, 1), nullptr);
  int n_calls = 1;
  while (history.gather_mass(5, 1, 30)) {
    history.add_frame(mass_frame(5000 + n_calls, 5001 + n_calls));
    ++n_calls;
  }
  EXPECT_GE(n_calls, 200 / 30);
  const HeadMassMap* map = history.gathered_mass(5, 1);
  ASSERT_NE(map, nullptr);
  expect_rows(*map, 0, 200);
  for (int i = 1; i < n_calls; ++i) EXPECT_TRUE(map->has(5000 + i));
  EXPECT_FALSE(map->has(200));
  // Evicted frames are not forgotten; another head begins anew, another run too.
  EXPECT_TRUE(history.gather_mass(9, 0, 30));
  EXPECT_EQ(history.gathered_mass(5, 1), nullptr);
  EXPECT_EQ(history.gathered_mass(9, 0)->n_steps(0, 13), 30) << "the newest first";
  history.reset({});
  EXPECT_EQ(history.gathered_mass(9, 0), nullptr);
}

TEST(FrameHistory, TheMapThatIsGatheredCountsAndFramesMakeWay) {
  constexpr size_t kLimit = size_t{200} << 10;
  FrameHistory history(kLimit);
  history.reset({});
  history.set_cursor(0);
  for (int64_t step = 0; step < 2048; step += 64) history.add_frame(mass_frame(step, step + 64));
  const size_t before = history.used_bytes();
  EXPECT_LE(before, kLimit);
  history.gather_mass(5, 1, 1);
  for (int64_t step = 0; step < 2048; step += 64) history.gather(mass_frame(step, step + 64));
  const HeadMassMap* map = history.gathered_mass(5, 1);
  ASSERT_NE(map, nullptr);
  EXPECT_TRUE(map->has(2047));
  const size_t finest = size_t{64} * 32 * 33 / 2 * sizeof(float);  // 64 steps each of 1, 2, ... 32 blocks
  EXPECT_GT(map->n_bytes(), finest);
  EXPECT_LT(map->n_bytes(), finest * 9 / 4);
  EXPECT_LE(history.used_bytes(), std::max(kLimit, map->n_bytes() + (size_t{256} << 10)));
  EXPECT_FALSE(history.row(*find_probe("attention.mass"), 1984)) << "the frames far from the cursor made way";
  EXPECT_TRUE(history.row(*find_probe("attention.mass"), 0)) << "what it stands on does not";
}

TEST(FrameHistory, RowsThatWereComputedAgainStandBesideRecordedOnes) {
  const auto row_frame = [](int64_t step, std::vector<int32_t> layers, std::vector<int32_t> heads, Origin origin) {
    Frame frame;
    frame.probe = find_probe("attention.row");
    frame.step_begin = step;
    frame.step_end = step + 1;
    frame.layers = std::move(layers);
    frame.heads = std::move(heads);
    frame.origin = origin;
    frame.shape = {1, std::ssize(frame.layers), std::ssize(frame.heads), step + 1};
    frame.payload_bytes = static_cast<size_t>(frame.n_values()) * sizeof(float);
    const std::shared_ptr<std::byte[]> bytes(new std::byte[frame.payload_bytes]());
    frame.payload = std::shared_ptr<const std::byte>(bytes, bytes.get());
    return frame;
  };
  const Probe& row = *find_probe("attention.row");
  FrameHistory history;
  history.reset({});
  history.add_frame(row_frame(4, {1, 3}, {0, 2}, Origin::kLive));  // pinned heads
  const uint64_t version = history.version();
  history.add_recalled(row_frame(4, {3}, {0, 1, 2}, Origin::kRecomputed));
  EXPECT_NE(history.version(), version);
  EXPECT_EQ(history.row_of(row, 4, 3, 2).frame->origin, Origin::kLive);
  EXPECT_EQ(history.row_of(row, 4, 3, 1).frame->origin, Origin::kRecomputed);
  EXPECT_FALSE(history.row_of(row, 4, 1, 1));
  EXPECT_FALSE(history.row_of(row, 5, 3, 1));
  EXPECT_EQ(history.row(row, 4).frame->origin, Origin::kLive) << "what is recorded stays";
  Frame other = row_frame(6, {3}, {0}, Origin::kRecomputed);
  other.run = 2;
  history.add_recalled(other);
  EXPECT_FALSE(history.row_of(row, 6, 3, 0));
}

}  // namespace
}  // namespace orrery
