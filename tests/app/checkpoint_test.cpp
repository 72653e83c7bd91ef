// Checkpoints of what a run's cache held: written while it is recorded, taken up by re-runs, refused where damaged.
#include <gmock/gmock.h>

#include <cstring>
#include <map>

#include "app/rerun.h"
#include "sessions/sqlite.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using testing::open_tiny;
using testing::TemporaryFolder;

constexpr int64_t kGiven = 200;
constexpr int64_t kNew = 100;

std::vector<Token> some_tokens(const OpenedModel& opened) {
  std::vector<Token> tokens;
  for (int64_t step = 0; step < kGiven; ++step) {
    const auto id = static_cast<int32_t>(step * step * 7 % (opened.model->config().vocab_size - 1));
    tokens.push_back({.step = step, .id = id, .bytes = {}, .segment = Segment::kForced});
  }
  return tokens;
}

// Of 300 steps: prompt in batches, checkpoints where the level has them.
void record(const std::string& path, const OpenedModel& opened, const TapSchedule& schedule) {
  Generator generator(opened.model, opened.kv);
  RunControl control;
  RunRequest request;
  request.prompt = some_tokens(opened);
  request.n_new_tokens = kNew;
  request.schedule = schedule;
  request.batches = {{0, 64}, {64, 130}, {131, 190}};
  const Result<SessionRun> run =
      record_run(path, opened, generator, {.kind = "tokens", .text = ""}, std::move(request), false, {}, control);
  ASSERT_TRUE(run) << run.error().message;
  ASSERT_FALSE(run->status.failure) << run->status.failure->message;
}

TapSchedule full() {
  TapSchedule schedule;
  schedule.level = Level::kFull;
  return schedule;
}

using Values = std::map<std::pair<const Probe*, int64_t>, std::vector<float>>;

struct Recomputed {
  Values values;
  std::vector<std::string> said;
};

// Steps [begin, end) of all probes that are measured at level full, from a checkpoint or from the start.
Recomputed recompute_steps(const std::string& path, const OpenedModel& opened, int64_t begin, int64_t end,
                           bool from_checkpoint) {
  Recomputed recomputed;
  const auto reader = SessionReader::open(path).value();
  const RunRecord record = reader->run(0).value();
  const std::vector<Token> tokens = reader->tokens(record.run).value();
  ExtraTaps taps;
  taps.mask = TapMask::of(Level::kFull);
  taps.begin = begin;
  taps.end = end;
  RunControl control;
  const CheckpointSource source{
      .reader = *reader, .record = record, .say = [&](const std::string& what) { recomputed.said.push_back(what); }};
  const Result<void> done = recompute(
      opened, record.run, tokens, taps,
      [&](const Frame& frame) -> Result<void> {
        EXPECT_EQ(frame.origin, Origin::kRecomputed);
        for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
          const auto n_bytes = frame.payload_bytes / static_cast<size_t>(frame.n_steps());
          std::vector<float>& kept = recomputed.values[{frame.probe, step}];
          // Narrower batches have narrower rows: only what a step sees is compared.
          if (frame.probe->has_axis(Axis::kKey) || frame.probe->has_axis(Axis::kKeyBlock)) {
            const int64_t width = frame.shape.back();
            const int64_t seen = frame.probe->has_axis(Axis::kKey) ? step + 1 : step / 64 + 1;
            const std::span<const float> row = frame.step_values<float>(step);
            for (size_t at = 0; at < row.size(); at += static_cast<size_t>(width)) {
              kept.insert(kept.end(), row.begin() + static_cast<std::ptrdiff_t>(at),
                          row.begin() + static_cast<std::ptrdiff_t>(at) + seen);
            }
            continue;
          }
          kept.resize(n_bytes / sizeof(float));
          std::memcpy(kept.data(), frame.payload.get() + static_cast<size_t>(step - frame.step_begin) * n_bytes,
                      n_bytes);
        }
        return {};
      },
      {}, control, from_checkpoint ? &source : nullptr);
  EXPECT_TRUE(done) << done.error().message;
  return recomputed;
}

void expect_same_bits(const Values& a, const Values& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [key, values] : a) {
    const std::vector<float>& other = b.at(key);
    ASSERT_EQ(values.size(), other.size()) << key.first->name;
    EXPECT_EQ(std::memcmp(values.data(), other.data(), values.size() * sizeof(float)), 0)
        << key.first->name << " at " << key.second;
  }
}

class Checkpoints : public ::testing::TestWithParam<const char*> {};

// Keys alone; states alone; both; windows; latent; loops with and without exits; fast weights; token shifts.
INSTANTIATE_TEST_SUITE_P(Models, Checkpoints,
                         ::testing::Values("tiny-llama-a", "tiny-mamba2", "tiny-mamba", "tiny-granite-hybrid",
                                           "tiny-gemma3", "tiny-samba", "tiny-recurrent-gemma", "tiny-deepseek-v3",
                                           "tiny-lfm2", "tiny-qwen3-next", "tiny-zamba2", "tiny-ouro",
                                           "tiny-huginn-exits", "tiny-ttt-linear", "tiny-ttt-mlp", "tiny-rwkv7"));

TEST_P(Checkpoints, GiveTheBitsOfAReplayFromTheStart) {
  const TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  const OpenedModel opened = open_tiny(GetParam());
  record(path, opened, full());
  const auto reader = SessionReader::open(path).value();
  const std::vector<CheckpointEntry> entries = reader->checkpoints(1).value();
  std::vector<int64_t> steps;
  for (const CheckpointEntry& one : entries) steps.push_back(one.step);
  const int64_t n_steps = std::ssize(reader->tokens(1).value()) - 1;  // the tiny models' contexts end some runs early
  std::vector<int64_t> expected{64, 130, 192, 256};
  std::erase_if(expected, [n_steps](int64_t step) { return step > n_steps; });
  EXPECT_EQ(steps, expected);
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{258, 262}, {192, 194}, {150, 153}, {280, 299}}) {
    if (end > n_steps) continue;
    const Recomputed replayed = recompute_steps(path, opened, begin, end, false);
    const Recomputed resumed = recompute_steps(path, opened, begin, end, true);
    const int64_t nearest = begin >= 256 ? 256 : begin >= 192 ? 192 : 130;
    EXPECT_THAT(resumed.said, ::testing::ElementsAre("from the checkpoint at step " + std::to_string(nearest)));
    expect_same_bits(replayed.values, resumed.values);
  }
  const Recomputed early = recompute_steps(path, opened, 3, 20, true);
  EXPECT_TRUE(early.said.empty()) << "no checkpoint is before it";
}

TEST(Checkpoints, AreSparseAtLevelStandardAndOnlyWhereTheyAreWhole) {
  const TemporaryFolder folder;
  const auto steps_of = [&](const char* model) {
    const std::string path = folder.file(std::string(model) + ".orrery");
    record(path, open_tiny(model), {});
    std::vector<int64_t> steps;
    const auto reader = SessionReader::open(path).value();
    const std::vector<CheckpointEntry> entries = reader->checkpoints(1).value();
    for (const CheckpointEntry& one : entries) steps.push_back(one.step);
    return steps;
  };
  EXPECT_EQ(steps_of("tiny-mamba2"), std::vector<int64_t>{256});
  EXPECT_TRUE(steps_of("tiny-llama-a").empty());
  EXPECT_TRUE(steps_of("tiny-granite-hybrid").empty()) << "it would lack the keys";
  EXPECT_EQ(steps_of("tiny-recurrent-gemma"), std::vector<int64_t>{256});
}

TEST(Checkpoints, DistancesKeepToTheirBytes) {
  EXPECT_EQ(checkpoint_distance(Level::kLight, 1000, false), 0);
  EXPECT_EQ(checkpoint_distance(Level::kStandard, 1000, false), 256);
  EXPECT_EQ(checkpoint_distance(Level::kStandard, 1000, true), 0);
  EXPECT_EQ(checkpoint_distance(Level::kStandard, int64_t{19} << 20, false), 4864);
  EXPECT_EQ(checkpoint_distance(Level::kFull, 1000, true), 64);
  EXPECT_EQ(checkpoint_distance(Level::kFull, int64_t{19} << 20, false), 128);
  EXPECT_EQ(checkpoint_distance(Level::kFull, int64_t{1} << 40, false), 0);
}

TEST(Checkpoints, OfASpanAtLevelFullHoldTheKeysBeforeIt) {
  const TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  const OpenedModel opened = open_tiny("tiny-granite-hybrid");
  TapSchedule schedule;
  schedule.spans = {{.begin = 190, .end = 210, .level = Level::kFull}};
  record(path, opened, schedule);
  const Recomputed replayed = recompute_steps(path, opened, 250, 252, false);
  const Recomputed resumed = recompute_steps(path, opened, 250, 252, true);
  EXPECT_THAT(resumed.said, ::testing::ElementsAre("from the checkpoint at step 192"));
  expect_same_bits(replayed.values, resumed.values);
}

class DamagedCheckpoints : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = folder_.file("s.orrery");
    opened_ = open_tiny("tiny-granite-hybrid");
    record(path_, *opened_, full());
  }
  void change(const std::string& sql) {
    Result<Database> db = Database::open(path_, Database::Mode::kWrite);
    ASSERT_TRUE(db);
    const Result<void> done = db->execute(sql);
    ASSERT_TRUE(done) << done.error().message;
  }
  // The same numbers, from the start, and a sentence that says why.
  void expect_refused(const std::string& why) {
    const Recomputed replayed = recompute_steps(path_, *opened_, 258, 262, false);
    const Recomputed resumed = recompute_steps(path_, *opened_, 258, 262, true);
    ASSERT_EQ(resumed.said.size(), 1u);
    EXPECT_THAT(resumed.said[0],
                ::testing::AllOf(::testing::HasSubstr(why), ::testing::HasSubstr("replayed from the start")));
    expect_same_bits(replayed.values, resumed.values);
  }

  TemporaryFolder folder_;
  std::string path_;
  std::optional<OpenedModel> opened_;
};

TEST_F(DamagedCheckpoints, AFlippedByteIsFound) {
  change(
      "UPDATE checkpoint SET states = CAST(substr(states, 1, 200) || x'5A5A5A5A' || substr(states, 205) AS BLOB) "
      "WHERE step = 256");
  expect_refused("the checkpoint at step 256 cannot be used: it is damaged");
}

TEST_F(DamagedCheckpoints, ACutOneIsFound) {
  change("UPDATE checkpoint SET keys = substr(keys, 1, length(keys) - 7) WHERE step = 130");
  expect_refused("it is damaged");
}

TEST_F(DamagedCheckpoints, ThatOfAnotherStepIsFound) {
  change("UPDATE checkpoint SET states = (SELECT states FROM checkpoint WHERE step = 64) WHERE step = 256");
  expect_refused("it does not lead to what was recorded at step 256");
}

TEST_F(DamagedCheckpoints, MissingKeysAreFound) {
  change("DELETE FROM checkpoint WHERE step = 130");
  expect_refused("the keys of the first 130 tokens are missing");
}

TEST_F(DamagedCheckpoints, SizesThatCannotBeAreFound) {
  change("UPDATE checkpoint SET keys_begin = 0 WHERE step = 256");
  expect_refused("bytes where this model's cache takes");
}

TEST_F(DamagedCheckpoints, AnImpossibleTableLeavesTheSessionReadable) {
  change("UPDATE checkpoint SET step = -5 WHERE step = 130");
  expect_refused("has a checkpoint that cannot be");
  const SessionSummary summary = SessionReader::open(path_).value()->summary().value();
  EXPECT_THAT(summary.runs.at(0).bad_checkpoints, ::testing::HasSubstr("cannot be"));
}

TEST_F(DamagedCheckpoints, AnotherBuildsAreNotUsed) {
  change("UPDATE run SET build = 'an older one'");
  expect_refused("another build");
}

}  // namespace
}  // namespace orrery
