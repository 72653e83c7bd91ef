// Coarse levels in a file: written while recording, read by whole cells, gone on with by a further turn, and made of
// the steps where a file has none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "sessions/fixed_point.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using testing::TempFolder;

double value_of(const Frame& frame, int64_t i) {
  const auto at = static_cast<size_t>(i);
  if (frame.level != 0 || frame.probe->dtype == DType::kF32) return static_cast<double>(frame.values<float>()[at]);
  return frame.probe->dtype == DType::kI32 ? static_cast<double>(frame.values<int32_t>()[at])
                                           : static_cast<double>(frame.values<int64_t>()[at]);
}

// Every cell of a level holds what its steps give; returns how many cells there are.
int64_t count_right_cells(SessionReader& reader, const Probe& probe, const ModelConfig& config, int64_t run,
                          int32_t level) {
  int64_t n_cells = 0;
  const int64_t cell = steps_per_cell(level);
  const auto done = reader.for_each_frame(probe, run, 0, kAllSteps, level, [&](const Frame& frame) {
    EXPECT_EQ(frame.level, level);
    for (int64_t row = 0; row < frame.n_rows(); ++row, ++n_cells) {
      const int64_t begin = frame.step_begin + row * cell;
      const Frame steps = testing::make_frame(probe, config, run, begin, begin + cell);
      // A frame of several cells is as wide as its last one: what lies beyond a cell's own blocks is 0.
      const int64_t wide = probe.has_axis(Axis::kKeyBlock) ? frame.shape.back() : 1;
      const int64_t n_own = n_blocks_at(probe, begin + cell - 1);
      for (int64_t i = 0; i < frame.values_per_step(); ++i) {
        if (i % wide >= n_own) {
          EXPECT_EQ(value_of(frame, row * frame.values_per_step() + i), 0);
          continue;
        }
        double sum = 0;
        double most = -INFINITY;
        for (int64_t step = 0; step < cell; ++step) {
          const double value = value_of(steps, step * steps.values_per_step() + i / wide * n_own + i % wide);
          sum += value;
          most = std::max(most, value);
        }
        const double wanted = statistic_of(level) == Statistic::kMean ? sum / static_cast<double>(cell) : most;
        EXPECT_NEAR(value_of(frame, row * frame.values_per_step() + i), wanted, 1e-6 * std::max(std::abs(wanted), 1.0))
            << probe.name << " level " << level << " at " << begin;
        if (::testing::Test::HasNonfatalFailure()) return false;
      }
    }
    return true;
  });
  EXPECT_TRUE(done) << done.error().message;
  return n_cells;
}

void expect_all_levels(const std::string& path, const ModelConfig& config, int64_t n_steps) {
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  for (const Probe* probe : testing::probes_of(Level::kStandard, config)) {
    if (!has_levels(*probe)) continue;
    for (const Statistic statistic : statistics_of(*probe)) {
      for (int depth = finest_depth(*probe); depth <= kMaxDepth; ++depth) {
        const int32_t level = level_of(statistic, depth);
        EXPECT_EQ(count_right_cells(**reader, *probe, config, 1, level), n_steps / steps_per_cell(level))
            << probe->name << " level " << level;
      }
    }
  }
}

int64_t query(const std::string& path, const std::string& sql) {
  auto db = Database::open(path, Database::Mode::kRead);
  return *db->query_i64(sql);
}

TEST(RecordedLevels, HoldWhatTheStepsGive) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::hybrid_like(), Level::kStandard, 300, 700);
  EXPECT_GT(query(path, "SELECT count(*) FROM chunk WHERE level = 23 - 3"), 0) << "they are in the file";
  expect_all_levels(path, testing::hybrid_like(), 700);
}

TEST(RecordedLevels, GoOnWithTheRun) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::hybrid_like();
  RunRecord record = testing::make_record(config);
  for (const auto& [from, to] : std::vector<std::pair<int64_t, int64_t>>{{0, 300}, {300, 333}, {333, 600}}) {
    const auto ring = testing::make_ring();
    auto recorder = Recorder::start(path, ring);
    ASSERT_TRUE(recorder);
    if (from == 0) {
      record.run = *(*recorder)->begin_run(record);
    } else {
      const auto went_on = (*recorder)->continue_run(record, from);
      ASSERT_TRUE(went_on) << went_on.error().message;
    }
    ring->push_within(testing::make_batch(config, Level::kStandard, 1, from, to), std::chrono::seconds(5));
    ASSERT_TRUE((*recorder)->end_run(RunEnd::kComplete));
    ASSERT_TRUE((*recorder)->close());
  }
  const int64_t n_512 = query(path, "SELECT count(*) FROM chunk WHERE level = 4 AND probe = 'output.entropy'");
  EXPECT_EQ(n_512, 1) << "a cell over three turns is in the file";
  expect_all_levels(path, config, 600);
}

TEST(RecordedLevels, AreMadeOfTheStepsWhereTheFileHasNone) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::hybrid_like(), Level::kStandard, 100, 300);
  {
    auto db = Database::open(path, Database::Mode::kWrite);
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->execute("DELETE FROM chunk WHERE level > 0"));
  }
  expect_all_levels(path, testing::hybrid_like(), 300);
}

TEST(RecordedLevels, AreToldByTheSummary) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(2, 2), Level::kStandard, 10, 100);
  auto reader = SessionReader::open(path);
  const auto summary = (*reader)->summary();
  ASSERT_TRUE(summary) << summary.error().message;
  for (const ProbeSummary& probe : summary->runs[0].probes) {
    const bool coarse = has_levels(*find_probe(probe.name));
    const bool of_blocks = probe.name == "attention.mass";
    EXPECT_EQ(probe.levels.size(), of_blocks ? 1u
                                   : coarse  ? 4u
                                             : 0u)
        << probe.name << ": means and greatest of 8 and of 32 steps; of blocks of keys the greatest of 32";
    if (!coarse) continue;
    EXPECT_EQ(probe.levels.back().step_ranges.front(), (std::pair<int64_t, int64_t>(0, 96)));
  }
}

// --- rounded weights ---

Frame frame_of(const char* probe, int64_t begin, int64_t end) {
  return testing::rounded(testing::make_frame(*find_probe(probe), testing::llama_like(2, 2), 1, begin, end));
}

UnpackedChunk there_and_back(const Frame& frame, std::string& codec) {
  const ChunkForm form = *ChunkForm::of(frame);
  std::vector<std::byte> raw;
  for (int64_t step = frame.step_begin; step < frame.step_end; step += form.row_steps()) {
    append_step(frame, form, step, raw);
  }
  EXPECT_EQ(raw.size(), form.bytes_of(frame.step_begin, frame.step_end).value());
  ChunkEncoder encoder;
  const ChunkEncoder::Encoded encoded = encoder.encode(form, frame.step_begin, raw);
  codec = encoded.codec;
  auto chunk = ChunkDecoder().decode(*frame.probe, testing::llama_like(2, 2), frame.level, frame.step_begin,
                                     frame.step_end, codec, encoded.data);
  EXPECT_TRUE(chunk) << chunk.error().message;
  return std::move(*chunk);
}

TEST(FixedPoint, RoundedWeightsComeBackBitForBitInHalfTheBytes) {
  for (const char* name : {"attention.mass", "attention.top"}) {
    std::string codec;
    const Frame frame = frame_of(name, 150, 170);
    const auto chunk = std::make_shared<const UnpackedChunk>(there_and_back(frame, codec));
    EXPECT_TRUE(codec.starts_with(std::string_view(name) == "attention.mass" ? "fixed20+" : "ranked20+")) << codec;
    EXPECT_TRUE(testing::same_values(cut_chunk(chunk, 1, 150, 170), frame));
  }
}

// Cells are as wide as their last step sees, and what is greatest of multiples is one.
TEST(FixedPoint, CellsOfBlockMassComeBackBitForBit) {
  std::map<int32_t, std::vector<Frame>> cells;
  LevelBuilder builder;
  for (int64_t step = 0; step < 1100; step += 50) {
    builder.add(frame_of("attention.mass", step, step + 50),
                [&](const Frame& cell) { cells[cell.level].push_back(cell); });
  }
  ASSERT_EQ(cells.size(), 3u) << "of 32, 128 and 512 steps";
  for (const auto& [level, frames] : cells) {
    EXPECT_EQ(statistic_of(level), Statistic::kMax);
    for (const Frame& cell : frames) {
      EXPECT_EQ(cell.shape.back(), (cell.step_end - 1) / 64 + 1);
      std::string codec;
      const auto chunk = std::make_shared<const UnpackedChunk>(there_and_back(cell, codec));
      EXPECT_TRUE(codec.starts_with("fixed20+")) << codec;
      EXPECT_TRUE(testing::same_values(cut_chunk(chunk, 1, cell.step_begin, cell.step_end), cell));
    }
  }
}

TEST(FixedPoint, ValuesThatAreNoMultiplesAreStoredAsTheyAre) {
  for (const char* name : {"attention.mass", "attention.top"}) {
    std::string codec;
    const Frame frame = testing::make_frame(*find_probe(name), testing::llama_like(2, 2), 1, 150, 170);
    const auto chunk = std::make_shared<const UnpackedChunk>(there_and_back(frame, codec));
    EXPECT_TRUE(codec.starts_with("shuffle")) << codec;
    EXPECT_TRUE(testing::same_values(cut_chunk(chunk, 1, 150, 170), frame));
  }
}

TEST(FixedPoint, MissingValuesAndPaddingComeBack) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> list{7, 0.5f, 3, 0.25f, -1, nan, -1, 0};
  std::vector<std::byte> words(list.size() * sizeof(float));
  const RankedLists lists{.list_pairs = 2, .lists_per_step = 1, .step_begin = 9};
  ASSERT_TRUE(to_ranked(std::as_bytes(std::span(list)), lists, words.data()));
  from_ranked(words, lists);
  EXPECT_EQ(std::memcmp(words.data(), list.data(), words.size()), 0);
  ASSERT_TRUE(to_fixed(std::as_bytes(std::span(list)), words.data()));
  from_fixed(words);
  EXPECT_EQ(std::memcmp(words.data(), list.data(), words.size()), 0);
  for (const float odd : {-0.0f, 1e-9f, 5000.0f, std::numeric_limits<float>::infinity()}) {
    EXPECT_FALSE(to_fixed(std::as_bytes(std::span(&odd, 1)), words.data())) << odd;
  }
}

}  // namespace
}  // namespace orrery
