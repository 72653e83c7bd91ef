// Coarse levels: cells hold what the steps give, whoever makes them and however the steps come.
#include "probes/levels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "probes/frame_history.h"

namespace orrery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// [t, 2 layers, 3 heads]; every seventh value of the last head is missing.
float value_at(int64_t step, int64_t i) {
  if (i == 5 && step % 7 == 0) return kNan;
  return static_cast<float>((step * 37 + i * 11) % 101) / 10.0f - 2.0f;
}

Frame steps(int64_t begin, int64_t end) {
  Frame frame;
  frame.probe = find_probe("state.norm");
  frame.step_begin = begin;
  frame.step_end = end;
  frame.layers = {1, 4};
  frame.shape = {end - begin, 2, 3};
  frame.payload_bytes = static_cast<size_t>(frame.n_values()) * sizeof(float);
  std::shared_ptr<float[]> values(new float[static_cast<size_t>(frame.n_values())]);
  for (int64_t i = 0; i < frame.n_values(); ++i) values[static_cast<size_t>(i)] = value_at(begin + i / 6, i % 6);
  frame.payload = std::shared_ptr<const std::byte>(values, reinterpret_cast<const std::byte*>(values.get()));
  return frame;
}

float expected(Statistic statistic, int64_t begin, int64_t end, int64_t i) {
  double sum = 0;
  float most = -std::numeric_limits<float>::infinity();
  int n = 0;
  for (int64_t step = begin; step < end; ++step) {
    const float value = value_at(step, i);
    if (std::isnan(value)) continue;
    sum += static_cast<double>(value);
    most = std::max(most, value);
    ++n;
  }
  return n == 0 ? kNan : statistic == Statistic::kMax ? most : static_cast<float>(sum / n);
}

// Of the first n values.
void expect_is_of_its_steps(const Frame& cell, int64_t n = 6) {
  ASSERT_EQ(cell.n_rows(), 1);
  ASSERT_EQ(cell.step_end - cell.step_begin, steps_per_cell(cell.level));
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_FLOAT_EQ(cell.values<float>()[static_cast<size_t>(i)],
                    expected(statistic_of(cell.level), cell.step_begin, cell.step_end, i))
        << "level " << cell.level << " at " << cell.step_begin;
  }
}

TEST(Levels, HaveCellsOfGrowingLength) {
  EXPECT_EQ(steps_per_cell(0), 1);
  EXPECT_EQ(steps_per_cell(level_of(Statistic::kMean, 1)), 8);
  EXPECT_EQ(steps_per_cell(level_of(Statistic::kMax, 2)), 32);
  EXPECT_EQ(steps_per_cell(level_of(Statistic::kMean, 7)), 32768);
  EXPECT_EQ(depth_for(4), 0);
  EXPECT_EQ(depth_for(8), 1);
  EXPECT_EQ(depth_for(16), 1);
  EXPECT_EQ(depth_for(32), 2);
  EXPECT_TRUE(is_level(7) && is_level(17) && is_level(23) && is_level(0));
  EXPECT_FALSE(is_level(8) || is_level(16) || is_level(24) || is_level(-1));
  EXPECT_TRUE(has_levels(*find_probe("attention.entropy")) && has_levels(*find_probe("cache.bytes")));
  EXPECT_FALSE(has_levels(*find_probe("attention.top")) || has_levels(*find_probe("attention.row")));
  const Probe& mass = *find_probe("attention.mass");
  EXPECT_TRUE(has_level(mass, 0) && has_level(mass, level_of(Statistic::kMax, 2)));
  EXPECT_FALSE(has_level(mass, level_of(Statistic::kMax, 1)) || has_level(mass, level_of(Statistic::kMean, 2)));
  EXPECT_FALSE(has_levels(*find_probe("moe.experts")) || has_levels(*find_probe("lens.top")));
}

TEST(Levels, CoverAStretchWithTheFewestCells) {
  EXPECT_THAT(cover(0, 70, 2), ElementsAre(LevelSpan{2, 0, 64}, LevelSpan{0, 64, 70}));
  EXPECT_THAT(cover(30, 80, 2), ElementsAre(LevelSpan{0, 30, 32}, LevelSpan{2, 32, 64}, LevelSpan{1, 64, 80}));
  EXPECT_THAT(cover(3, 5, 7), ElementsAre(LevelSpan{0, 3, 5}));
  EXPECT_THAT(cover(5, 5, 7), IsEmpty());
}

TEST(LevelBuilder, MakesWhatTheStepsGiveHoweverTheyCome) {
  std::map<std::pair<int32_t, int64_t>, int> n_made;
  for (const int64_t batch : {1, 5, 64, 700}) {
    n_made.clear();
    LevelBuilder builder;
    for (int64_t at = 0; at < 700; at += batch) {
      builder.add(steps(at, std::min<int64_t>(at + batch, 700)), [&](const Frame& cell) {
        expect_is_of_its_steps(cell);
        ++n_made[{cell.level, cell.step_begin}];
      });
    }
    EXPECT_EQ(n_made.size(), 2u * (700 / 8 + 700 / 32 + 700 / 128 + 700 / 512));
    for (const auto& [cell, n] : n_made) EXPECT_EQ(n, 1);
  }
}

TEST(LevelBuilder, LeavesOutCellsOfWhichItDidNotSeeTheBeginning) {
  LevelBuilder builder;
  std::vector<int64_t> begins;
  builder.add(steps(5, 33), [&](const Frame& cell) {
    if (cell.level == 1) begins.push_back(cell.step_begin);
    EXPECT_NE(cell.level, 2) << "the cell of 32 steps begins at 0";
  });
  EXPECT_THAT(begins, ElementsAre(8, 16, 24));
}

TEST(LevelBuilder, GoesOnFromWhatWasMade) {
  std::map<std::pair<int32_t, int64_t>, Frame> cells;
  LevelBuilder first;
  first.add(steps(0, 637), [&](const Frame& cell) { cells[{cell.level, cell.step_begin}] = cell; });
  LevelBuilder second;
  for (const LevelSpan& span : LevelBuilder::resume_spans(*find_probe("state.norm"), 637)) {
    for (int64_t at = span.begin; at < span.end; at += steps_per_cell(span.depth)) {
      if (span.depth == 0) {
        second.resume(steps(at, at + 1), steps(at, at + 1));
      } else {
        second.resume(cells.at({level_of(Statistic::kMean, span.depth), at}),
                      cells.at({level_of(Statistic::kMax, span.depth), at}));
      }
    }
  }
  std::map<int32_t, int> n_made;
  second.add(steps(637, 1100), [&](const Frame& cell) {
    expect_is_of_its_steps(cell, 5);  // how many steps of the last value are missing is no longer known
    ++n_made[cell.level];
  });
  EXPECT_EQ(n_made[1], 1100 / 8 - 637 / 8);
  EXPECT_EQ(n_made[level_of(Statistic::kMax, 4)], 1100 / 512 - 637 / 512);
}

TEST(FrameHistoryLevels, AreMadeOfLiveStepsAndTakenFromASource) {
  FrameHistory live;
  FrameBatch batch;
  for (int64_t step = 0; step < 100; ++step) {
    batch.frames = {steps(step, step + 1)};
    live.add_batch(batch);
  }
  const Probe& norm = *find_probe("state.norm");
  const int32_t means = level_of(Statistic::kMean, 1);
  EXPECT_THAT(live.missing(norm, 0, 96, means), IsEmpty());
  EXPECT_THAT(live.missing(norm, 96, 104, means), ElementsAre(std::pair<int64_t, int64_t>(96, 104)));
  EXPECT_FLOAT_EQ(live.row(norm, 43, means).layer_f32(4)[1], expected(Statistic::kMean, 40, 48, 4));
  EXPECT_EQ(live.n_processed(), 100) << "cells are not steps";

  FrameHistory stored;
  LevelBuilder builder;
  builder.add(steps(0, 100), [&](const Frame& cell) { stored.add_frame(cell); });
  EXPECT_EQ(stored.n_processed(), 0);
  for (int64_t step = 0; step < 96; ++step) {
    EXPECT_THAT(stored.row(norm, step, means).f32().subspan(0, 5),
                ::testing::ElementsAreArray(live.row(norm, step, means).f32().subspan(0, 5)));
  }
  const FrameHistory cells = stored.cells_as_steps(norm, means);
  EXPECT_EQ(cells.n_processed(), 12);
  EXPECT_EQ(cells.row(norm, 5).f32()[0], live.row(norm, 40, means).f32()[0]);
}

TEST(FrameHistoryLevels, WhatIsOnTheScreenIsKept) {
  FrameHistory history(size_t{64} << 10);
  const Probe& norm = *find_probe("state.norm");
  history.set_cursor(0);
  history.set_on_screen({{&norm, 1000, 1100}});
  for (int64_t at = 0; at < 20000; at += 100) history.add_frame(steps(at, at + 100));
  EXPECT_LE(history.used_bytes(), size_t{64} << 10);
  EXPECT_TRUE(history.row(norm, 1050)) << "on the screen";
  EXPECT_TRUE(history.row(norm, 0)) << "at the cursor";
  EXPECT_FALSE(history.row(norm, 15000));
  history.set_max_bytes(0);
  EXPECT_TRUE(history.row(norm, 1050));
  EXPECT_FALSE(history.row(norm, 300));
}

TEST(RoundToMultiples, IsOffByHalfAStepAtMostAndLeavesTheRest) {
  std::vector<float> values{0.0f, 0.1f, 0.999999f, 1.0f, 1e-7f, -0.3f, 4.5f, 1234.5678f, kNan};
  const std::vector<float> before = values;
  round_to_multiples(values, 20);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(values[i], before[i], 0x1p-21);
    EXPECT_EQ(std::ldexp(values[i], 20), std::round(std::ldexp(values[i], 20)));
  }
  EXPECT_EQ(values[6], 4.5f);
  EXPECT_EQ(values[7], 1234.5678f);
  EXPECT_TRUE(std::isnan(values[8]));
}

}  // namespace
}  // namespace orrery
