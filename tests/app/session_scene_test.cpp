// The head map that `shot` draws: of a long recording from its cells, of a light one recomputed by the model.
#include "app/session_scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/app/tiny_model.h"
#include "tests/sessions/make_session.h"
#include "views/json_renderer.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;
using testing::open_tiny;
using testing::TemporaryFolder;

const Probe& mass_probe() { return *find_probe("attention.mass"); }

json block_mass(const FrameHistory& history, const ViewState& state) {
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const json scene = render_json((*find_view("attention"))->scene({history, state, {1280, 800}, metrics}));
  for (const json& tile : scene["tiles"]) {
    if (tile["name"] == "block mass") return tile["cells"];
  }
  ADD_FAILURE() << "there is no map";
  return {};
}

// [step][block] of one head.
std::vector<std::vector<float>> recorded_mass(SessionReader& reader, int32_t head) {
  std::vector<std::vector<float>> rows;
  const auto read = reader.for_each_frame(mass_probe(), 1, 0, kAllSteps, 0, [&](const Frame& frame) {
    for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
      const auto wide = static_cast<size_t>(frame.shape.back());
      const std::span<const float> row = frame.step_values<float>(step).subspan(static_cast<size_t>(head) * wide, wide);
      rows.emplace_back(row.begin(), row.begin() + step / 64 + 1);
    }
    return true;
  });
  EXPECT_TRUE(read) << read.error().message;
  return rows;
}

TEST(SessionScene, DrawsTheMapOfALongRunFromItsCells) {
  constexpr int64_t kSteps = 17003;
  constexpr int32_t kHead = 1;
  const testing::TempFolder folder;
  const std::string path = folder.file("long.orrery");
  testing::record_run(path, testing::llama_like(1, 2), Level::kStandard, kSteps, kSteps);
  const auto reader = SessionReader::open(path).value();
  const RunRecord record = reader->run(0).value();
  FrameHistory history = open_history(*reader, record, kSteps).value();
  ViewState state;
  state.selected = {.step = kSteps - 1, .layer = 0, .head = kHead};
  RunControl control;
  const auto fetched = fetch_wanted(*reader, record, **find_view("attention"), state, {}, control, history);
  ASSERT_TRUE(fetched) << fetched.error().message;
  const HeadMassMap& map = *history.gathered_mass(0, kHead);
  EXPECT_FALSE(map.has(1000)) << "not from the steps";
  EXPECT_TRUE(map.has(kSteps - 1)) << "behind the last cell";

  const std::vector<std::vector<float>> steps = recorded_mass(*reader, kHead);
  const json cells = block_mass(history, state);
  const auto per_row = static_cast<size_t>(64);
  ASSERT_EQ(cells.size(), (kSteps + per_row - 1) / per_row);
  for (size_t row = 0; row < cells.size(); ++row) {
    for (size_t block = 0; block < cells[row].size(); ++block) {
      float most = 0;
      for (size_t step = row * per_row; step < std::min<size_t>(kSteps, (row + 1) * per_row); ++step) {
        if (block < steps[step].size()) most = std::max(most, steps[step][block]);
      }
      ASSERT_EQ(cells[row][block].get<float>(), most) << "row " << row << ", block " << block;
    }
  }
}

TEST(SessionScene, RecomputesTheBlockMassOfALightRecording) {
  const TemporaryFolder folder;
  const OpenedModel opened = open_tiny("tiny-mistral");
  std::vector<std::vector<float>> maps[2];
  for (const Level level : {Level::kStandard, Level::kLight}) {
    const bool is_light = level == Level::kLight;
    Generator generator(opened.model, opened.kv);
    RunControl control;
    RunRequest request;
    for (int32_t step = 0; step < 70; ++step) {
      request.prompt.push_back({.step = step, .id = step * 7 % 31, .bytes = "t", .segment = Segment::kUser});
    }
    request.n_new_tokens = 5;
    request.schedule.level = level;
    request.batches = plan_batches(generator, 70, request.schedule, {}, false);
    const std::string path = folder.file(is_light ? "light.orrery" : "standard.orrery");
    const auto run = record_run(path, opened, generator, {.kind = "tokens", .text = ""}, request, false, {}, control);
    ASSERT_TRUE(run) << run.error().message;
    const auto reader = SessionReader::open(path).value();
    const RunRecord record = reader->run(0).value();
    FrameHistory history = open_history(*reader, record, 74).value();
    ViewState state;
    state.selected = {.step = 73, .layer = 1, .head = 0};
    const auto open = [&]() -> Result<const OpenedModel*> { return &opened; };
    const auto fetched = fetch_wanted(*reader, record, **find_view("attention"), state,
                                      is_light ? ModelOpener(open) : ModelOpener(), control, history);
    ASSERT_TRUE(fetched) << fetched.error().message;
    const HeadMassMap& map = *history.gathered_mass(1, 0);
    EXPECT_EQ(map.source()->origin, is_light ? Origin::kRecomputed : Origin::kRecorded);
    for (int64_t step = 0; step < 74; ++step) {
      const std::span<const float> row = map.row(step, 0);
      EXPECT_EQ(std::ssize(row), step / 64 + 1);
      maps[is_light ? 1 : 0].emplace_back(row.begin(), row.end());
    }
  }
  EXPECT_EQ(maps[0], maps[1]);
}

}  // namespace
}  // namespace orrery
