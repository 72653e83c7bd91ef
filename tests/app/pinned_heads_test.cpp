// Heads whose exact rows are measured and recorded at every step.
#include <gmock/gmock.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "app/rerun.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using testing::open_tiny;
using testing::TemporaryFolder;
using testing::tiny_request;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(TapSchedule, PinsHoldFromTheirStepOnUntilTheNext) {
  TapSchedule schedule;
  schedule.pinned_steps = 4;
  schedule.pin(10, {{1, 2}});
  schedule.pin(20, {{1, 2}, {3, 0}});
  schedule.pin(20, {{0, 5}});  // instead
  schedule.pin(30, {});
  const Probe* row = find_probe("attention.row");
  EXPECT_TRUE(schedule.mask_at(3).probes.contains(row));
  EXPECT_TRUE(schedule.mask_at(3).row_heads.empty()) << "all of them";
  EXPECT_FALSE(schedule.mask_at(9).probes.contains(row));
  EXPECT_EQ(schedule.mask_at(10).row_layers, std::vector<int32_t>{1});
  EXPECT_EQ(schedule.mask_at(10).row_heads, std::vector<int32_t>{2});
  EXPECT_EQ(schedule.pinned_at(29), (std::vector<PinnedHead>{{0, 5}}));
  EXPECT_FALSE(schedule.mask_at(30).probes.contains(row));
  EXPECT_EQ(schedule.next_change(4), 10);
  EXPECT_EQ(schedule.next_change(10), 20);
  EXPECT_EQ(schedule.next_change(20), 30);
}

TEST(PinnedHeads, AreRecordedFromThenOnAndARunAgainGivesThemBitForBit) {
  const TemporaryFolder folder;
  const OpenedModel opened = open_tiny();
  const Probe& row = *find_probe("attention.row");
  const auto record = [&](const std::string& path, const TapSchedule& schedule, bool pins) {
    Generator generator(opened.model, opened.kv);
    RunControl control;
    RunRequest request = tiny_request(opened, generator, 30, schedule);
    request.sampler.temperature = 0;
    const int64_t n_prompt = std::ssize(request.prompt);
    RunSinks sinks;
    std::unique_ptr<RecordedRun> run;
    sinks.meanwhile = [&] {
      const int64_t n = run->n_processed();
      if (pins && n == n_prompt + 4) {
        EXPECT_TRUE(run->pin({{0, 1}}));
      }
      if (pins && n == n_prompt + 10) {
        EXPECT_TRUE(run->pin({{0, 1}, {1, 2}}));
      }
      if (pins && n == n_prompt + 15) {
        EXPECT_TRUE(run->pin({}));
      }
      return false;
    };
    run = std::make_unique<RecordedRun>(opened, generator,
                                        make_run_record(opened, {.kind = "prompt", .text = "…"}, request, false),
                                        request, RecordedRun::Where{.path = path, .store = {}}, sinks, control);
    EXPECT_TRUE(run->begin());
    EXPECT_TRUE(run->start());
    EXPECT_TRUE(run->pause_recording());
    return n_prompt;
  };
  TapSchedule full;
  full.level = Level::kFull;
  record(folder.file("full.orrery"), full, false);
  const int64_t n_prompt = record(folder.file("pins.orrery"), {}, true);
  const auto whole = SessionReader::open(folder.file("full.orrery")).value();
  const auto pinned = SessionReader::open(folder.file("pins.orrery")).value();

  EXPECT_EQ(pinned->recorded_steps(row, 1).value(),
            (std::vector<std::pair<int64_t, int64_t>>{{n_prompt + 4, n_prompt + 15}}));
  const std::vector<Frame> frames = pinned->frames(row, 1, 0, kAllSteps).value();
  for (const Frame& frame : frames) {
    for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
      const bool two = step >= n_prompt + 10;
      EXPECT_EQ(frame.heads, two ? (std::vector<int32_t>{1, 2}) : std::vector<int32_t>{1});
      EXPECT_EQ(frame.layers, two ? (std::vector<int32_t>{0, 1}) : std::vector<int32_t>{0});
      const Frame reference = whole->frames(row, 1, step, step + 1).value().at(0);
      const auto n_heads = static_cast<size_t>(reference.shape[2]), n_keys = static_cast<size_t>(step + 1);
      const size_t wide = reference.step_values<float>(step).size() / (reference.layers.size() * n_heads);
      const size_t narrow = static_cast<size_t>(frame.shape[3]);
      for (size_t l = 0; l < frame.layers.size(); ++l) {
        for (size_t h = 0; h < frame.heads.size(); ++h) {
          const auto layer = static_cast<size_t>(reference.layer_index(frame.layers[l]));
          const size_t from = (layer * n_heads + static_cast<size_t>(frame.heads[h])) * wide;
          const size_t at = (l * frame.heads.size() + h) * narrow;
          EXPECT_EQ(std::memcmp(reference.step_values<float>(step).data() + from,
                                frame.step_values<float>(step).data() + at, n_keys * sizeof(float)),
                    0)
              << step;
        }
      }
    }
  }
  const RunRecord run = pinned->run(0).value();
  EXPECT_EQ(run.settings.schedule.pins.size(), 3u);
  RunControl control;
  const Result<VerifyReport> report = verify_run(*pinned, run, opened, {}, control);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->bit_identical());
  EXPECT_EQ(report->frames.totals().at("attention.row").n_steps, 11);

  // An export of other heads recomputes the steps at which these alone were recorded, and says so.
  const auto exported = [&](const char* session, const std::string& options, std::string& said) {
    const std::string steps = std::to_string(n_prompt + 5) + ":" + std::to_string(n_prompt + 8);
    const std::string out = folder.file("rows.npy"), err = folder.file("said.txt");
    const std::string command = std::string(ORRERY_PROGRAM) + " export " + folder.file(session) +
                                " --probe attention.row --layers 0 --steps " + steps + " " + options + " --out " + out +
                                " 2> " + err;
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    said = contents(err);
    std::string bytes = contents(out);
    std::filesystem::remove(out);
    return bytes;
  };
  std::string said;
  for (const std::string heads : {"1", "2", "0,1"}) {
    const std::string reference = exported("full.orrery", "--heads " + heads, said);
    EXPECT_EQ(exported("pins.orrery", "--recompute --heads " + heads, said), reference) << heads;
    EXPECT_EQ(said.find("recomputed steps:") == std::string::npos, heads == "1") << said;
  }
}

}  // namespace
}  // namespace orrery
