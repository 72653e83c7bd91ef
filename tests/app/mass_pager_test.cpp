// MassPager: what it asks for and in which order, and that what it read is in the map and nowhere else.
#include "app/mass_pager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace orrery {
namespace {

using ::testing::ElementsAre;

constexpr int32_t kHeads = 3;
const int32_t kMax32 = level_of(Statistic::kMax, 2);

const Probe& mass_probe() { return *find_probe("attention.mass"); }

float mass(int64_t step, int32_t head, int64_t block) {
  return static_cast<float>((step * 13 + head * 5 + block) % 97) * 0.01f + 0.001f;
}

Frame mass_frame(int64_t begin, int64_t end, int32_t n_heads = kHeads) {
  Frame frame;
  frame.probe = &mass_probe();
  frame.step_begin = begin;
  frame.step_end = end;
  frame.layers = {0};
  const int64_t n_blocks = (end - 1) / 64 + 1;
  frame.shape = {end - begin, 1, n_heads, n_blocks};
  std::vector<float> values;
  for (int64_t step = begin; step < end; ++step) {
    for (int32_t head = 0; head < n_heads; ++head) {
      for (int64_t block = 0; block < n_blocks; ++block) values.push_back(mass(step, head, block));
    }
  }
  frame.payload_bytes = values.size() * sizeof(float);
  const std::shared_ptr<std::byte[]> bytes(new std::byte[frame.payload_bytes]);
  std::memcpy(bytes.get(), values.data(), frame.payload_bytes);
  frame.payload = std::shared_ptr<const std::byte>(bytes, bytes.get());
  return frame;
}

struct Recording {
  int64_t n_steps = 0;
  bool has_cells = true;
};

// A part of a recording.
class TestSource final : public DirectFrameSource {
 public:
  TestSource(Recording recording, std::vector<FrameRequest>& requests) : recording_(recording), requests_(requests) {}

 private:
  std::vector<Frame> read(const FrameRequest& request) override {
    requests_.push_back(request);
    std::vector<Frame> frames;
    const int64_t cell = steps_per_cell(request.level);
    const int64_t end = std::min(request.step_end, recording_.n_steps) / cell * cell;
    if (request.level == 0 && request.step_begin < end) frames.push_back(mass_frame(request.step_begin, end));
    if (request.level != 0 && recording_.has_cells && request.step_begin < end) {
      LevelBuilder builder;
      builder.add(mass_frame(request.step_begin, end), [&](const Frame& frame) {
        if (frame.level == request.level) frames.push_back(frame);
      });
    }
    return frames;
  }

  const Recording recording_;
  std::vector<FrameRequest>& requests_;
};

// Of a run of so many steps, the newest 100 of which are held.
FrameHistory history_of(int64_t n_steps, int32_t n_heads = kHeads) {
  RunInfo info;
  LayerConfig layer;
  layer.mixers = {MixerKind::kAttention};
  layer.attention.n_heads = n_heads;
  info.config.layers = {layer};
  FrameHistory history;
  history.reset(info);
  history.add_frame(mass_frame(n_steps - 100, n_steps, n_heads));
  return history;
}

void gather(FrameHistory& history, int32_t head) {
  while (history.gather_mass(0, head, 64)) {
  }
}

void read_all(MassPager& pager, FrameHistory& history, const WantedMass& wanted) {
  for (int i = 0; i < 1000; ++i) {
    pager.want(history, wanted);
    if (pager.idle()) return;
    pager.want(history, wanted);  // one at a time
    pager.take(history);
  }
  FAIL() << "it never has enough";
}

void expect_rows(const HeadMassMap& map, int64_t begin, int64_t end, int level) {
  for (int64_t index = begin >> level; index << level < end; ++index) {
    const int64_t first = index << level;
    const int64_t last = std::min(end, first + (int64_t{1} << level));
    const std::span<const float> row = map.row(index, level);
    ASSERT_EQ(std::ssize(row), (last - 1) / 64 + 1) << index;
    for (int64_t block = 0; block < std::ssize(row); ++block) {
      float most = 0;
      for (int64_t step = std::max(first, block * 64); step < last; ++step) {
        most = std::max(most, mass(step, map.head(), block));
      }
      ASSERT_EQ(row[static_cast<size_t>(block)], most) << "row " << index << " of level " << level;
    }
  }
}

std::vector<int32_t> levels_of(const std::vector<FrameRequest>& requests) {
  std::vector<int32_t> levels;
  for (const FrameRequest& request : requests) {
    if (levels.empty() || levels.back() != request.level) levels.push_back(request.level);
  }
  return levels;
}

TEST(MassPager, ReadsTheStepsOfAShortRunAndHoldsNothingElse) {
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(1000);
  const size_t held = history.used_bytes();
  int n_opened = 0;
  MassPager pager([&] {
    ++n_opened;
    return std::make_unique<TestSource>(Recording{.n_steps = 1000}, requests);
  });
  const WantedMass wanted{0, 2, {0, 1000}};
  pager.want(history, wanted);
  EXPECT_EQ(n_opened, 0) << "nothing is gathered yet";
  gather(history, 2);
  read_all(pager, history, wanted);
  EXPECT_EQ(n_opened, 1);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].step_begin, 0);
  EXPECT_EQ(requests[0].step_end, 900);
  const HeadMassMap& map = *history.gathered_mass(0, 2);
  expect_rows(map, 0, 1000, 0);
  EXPECT_EQ(history.used_bytes(), held + map.n_bytes());
  EXPECT_FALSE(history.row(mass_probe(), 500));
}

TEST(MassPager, ReadsCellsOfALongRunAndTheStepsBehindTheLast) {
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(20001);
  MassPager pager([&] { return std::make_unique<TestSource>(Recording{.n_steps = 20001}, requests); });
  gather(history, 1);
  read_all(pager, history, {0, 1, {0, 20001}});
  EXPECT_THAT(levels_of(requests), ElementsAre(kMax32));
  for (const FrameRequest& request : requests) EXPECT_EQ(request.lacking, LackingCells::kLeftOut);
  const HeadMassMap& map = *history.gathered_mass(0, 1);
  expect_rows(map, 0, 20001, 5);
  expect_rows(map, 0, 20001, 8);
  EXPECT_FALSE(map.has(10000));
  // A closer look needs the steps, of what is looked at alone.
  requests.clear();
  read_all(pager, history, {0, 1, {7000, 8000}});
  ASSERT_EQ(levels_of(requests).size(), 1u);
  EXPECT_EQ(requests.front().level, 0);
  EXPECT_EQ(requests.back().step_begin, 7000);
  EXPECT_EQ(requests.front().step_end, 8000);
  for (int64_t step = 7000; step < 8000; ++step) ASSERT_TRUE(map.has(step));
  expect_rows(map, 0, 20001, 5);
  EXPECT_EQ(map.n_steps(0, 15), 20001) << "counted once";
}

TEST(MassPager, ReadsSoCoarseFirstThatAllIsSeenAtOnce) {
  constexpr int32_t kManyHeads = 300;
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(40000, kManyHeads);
  // The answers have three heads: enough for the one that is looked at.
  MassPager pager([&] { return std::make_unique<TestSource>(Recording{.n_steps = 40000}, requests); });
  gather(history, 2);
  pager.want(history, {0, 2, {0, 40000}});
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_GT(requests[0].level, kMax32);
  EXPECT_EQ(requests[0].step_begin, 0) << "all of it";
  pager.take(history);
  const HeadMassMap& map = *history.gathered_mass(0, 2);
  const int overview = map_level_of(requests[0].level);
  EXPECT_EQ(map.shown_level(0, 40000, 5, 40000), overview) << "until finer ones are there";
  read_all(pager, history, {0, 2, {0, 40000}});
  EXPECT_EQ(map.shown_level(0, 40000, 5, 40000), 7) << "cells of 128 steps: as fine as a picture of them all shows";
  EXPECT_EQ(map.shown_level(0, 40000, 8, 40000), 8);
  expect_rows(map, 0, 40000, 7);
  EXPECT_EQ(map.n_steps(0, 16), 40000);
}

TEST(MassPager, ReadsTheStepsWhereARecordingHasNoCells) {
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(20000);
  MassPager pager(
      [&] { return std::make_unique<TestSource>(Recording{.n_steps = 20000, .has_cells = false}, requests); });
  gather(history, 0);
  read_all(pager, history, {0, 0, {0, 20000}});
  EXPECT_THAT(levels_of(requests), ElementsAre(kMax32, 0));
  expect_rows(*history.gathered_mass(0, 0), 0, 20000, 0);
}

TEST(MassPager, AsksOnceForWhatWasNotRecordedAndAnewForAnotherHead) {
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(1000);
  MassPager pager([&] { return std::make_unique<TestSource>(Recording{}, requests); });
  for (const int32_t head : {0, 1}) {
    gather(history, head);
    for (int i = 0; i < 3; ++i) read_all(pager, history, {0, head, {0, 1000}});
    EXPECT_EQ(requests.size(), head == 0 ? 1u : 2u);
  }
  MassPager without([] { return nullptr; });
  without.want(history, {0, 1, {0, 1000}});
  EXPECT_FALSE(without.take(history));
  EXPECT_TRUE(without.idle());
}

TEST(MassPager, LeavesWhatIsNoLongerLookedAtAndComesBackToIt) {
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(20000);
  MassPager pager([&] { return std::make_unique<TestSource>(Recording{.n_steps = 20000}, requests); });
  gather(history, 0);
  pager.want(history, {0, 0, {4000, 5000}});
  pager.want(history, {0, 0, {4500, 6000}});
  EXPECT_EQ(requests.size(), 1u) << "a part of it is still looked at";
  pager.want(history, {0, 0, {9000, 9500}});
  EXPECT_EQ(requests.size(), 2u);
  read_all(pager, history, {0, 0, {9000, 9500}});
  read_all(pager, history, {0, 0, {4000, 5000}});
  const HeadMassMap& map = *history.gathered_mass(0, 0);
  for (int64_t step = 4000; step < 5000; ++step) ASSERT_TRUE(map.has(step));
}

}  // namespace
}  // namespace orrery
