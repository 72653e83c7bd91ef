// Long runs are drawn from cells of several steps: live and replayed alike, and as their steps give.
#include "views/step_cells.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/head_map.h"
#include "views/json_renderer.h"
#include "views/registry.h"
#include "views/state_cells.h"

namespace orrery {
namespace {

using nlohmann::json;

constexpr int64_t kLong = 9000;

float norm_at(int64_t step, int32_t layer, int32_t head) {
  return 1.0f + static_cast<float>((step * 31 + layer * 7 + head * 13) % 97);
}

// state.norm and residual.norm of a hybrid over many steps.
Frame norms(const RunInfo& info, const char* name, int64_t begin, int64_t end) {
  const Probe& probe = *find_probe(name);
  Frame frame;
  frame.probe = &probe;
  frame.step_begin = begin;
  frame.step_end = end;
  frame.layers = probe.layers(info.config);
  frame.shape = {end - begin, static_cast<int64_t>(frame.layers.size())};
  for (const int64_t size : probe.inner_shape(info.config, end)) frame.shape.push_back(size);
  const auto n = static_cast<size_t>(frame.n_values());
  const int64_t n_heads = frame.shape.size() > 2 ? frame.shape[2] : 1;
  const std::shared_ptr<float[]> values(new float[n]);
  for (size_t i = 0; i < n; ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t of_step = at % frame.values_per_step();
    values[i] = norm_at(begin + at / frame.values_per_step(), frame.layers[static_cast<size_t>(of_step / n_heads)],
                        static_cast<int32_t>(of_step % n_heads));
  }
  frame.payload_bytes = n * sizeof(float);
  frame.payload = std::shared_ptr<const std::byte>(values, reinterpret_cast<const std::byte*>(values.get()));
  return frame;
}

// As it comes live, step after step.
FrameHistory live_history(int64_t n_steps) {
  const RunInfo info = HybridRun{}.info();
  FrameHistory history;
  history.reset(info);
  for (int64_t step = 0; step < n_steps; ++step) {
    FrameBatch batch;
    batch.run = info.run;
    batch.tokens = {{.step = step, .id = 1, .bytes = "a"}};
    for (const char* name : {"state.norm", "residual.norm"}) batch.frames.push_back(norms(info, name, step, step + 1));
    history.add_batch(batch);
  }
  return history;
}

// As it comes from a file: what the views want, and no more.
FrameHistory stored_history(int64_t n_steps, const View& view) {
  const RunInfo info = HybridRun{}.info();
  FrameHistory history;
  history.reset(info);
  for (int64_t step = 0; step < n_steps; ++step) history.add_token({.step = step, .id = 1, .bytes = "a"});
  for (const char* name : {"state.norm", "residual.norm"}) history.add_frame(norms(info, name, n_steps - 1, n_steps));
  for (const Wanted& wanted : view.wanted(history, {})) {
    if (wanted.probe->name != "state.norm" && wanted.probe->name != "residual.norm") continue;
    LevelBuilder builder;
    builder.begin_whole();
    const Frame steps = norms(info, wanted.probe->name.data(), wanted.begin, wanted.end);
    if (wanted.level == 0) history.add_frame(steps);
    builder.add(steps, [&](const Frame& cell) {
      if (cell.level == wanted.level) history.add_frame(cell);
    });
  }
  return history;
}

const HeadQuantity& norm_quantity() {
  static const HeadQuantity kQuantity = head_quantity(StateQuantity::kNorm);
  return kQuantity;
}

TEST(StepCells, FewStepsAreReadOneByOneAndManyInCells) {
  const Probe& norm = *find_probe("state.norm");
  EXPECT_EQ(step_cells(norm, {0, 1024}).depth, 0);
  EXPECT_EQ(step_cells(norm, {0, 2048}).depth, 1);
  EXPECT_EQ(step_cells(norm, {0, 4096}).depth, 1);
  EXPECT_EQ(step_cells(norm, {0, 100000}).depth, 4);
  EXPECT_EQ(step_cells(norm, {5, 100000}).steps.begin, 0) << "from the beginning of its cell";
  EXPECT_EQ(step_cells(*find_probe("output.top"), {0, 100000}).depth, 0) << "lists have no levels";
}

TEST(StepCells, AMapOfManyStepsIsAsItsStepsGive) {
  const FrameHistory history = live_history(kLong);
  for (const StepRange range : {StepRange{0, kLong}, StepRange{100, 5000}, StepRange{0, 1000}}) {
    const HeadMap map = head_map(history, norm_quantity(), 0, range, 100, 400);
    ASSERT_GT(map.steps_per_col, 1);
    EXPECT_LE(map.cols, 400);
    EXPECT_TRUE(map.missing.empty());
    const auto n_rows = map.rows.size();
    for (int col = 0; col < map.cols; col += 17) {
      const int64_t begin = map.steps.begin + col * map.steps_per_col;
      const int64_t end = std::min({begin + map.steps_per_col, map.steps.end, kLong});
      for (size_t row = 0; row < n_rows; ++row) {
        double sum = 0;
        for (int64_t step = begin; step < end; ++step) {
          sum += static_cast<double>(norm_at(step, 0, static_cast<int32_t>(map.rows[row])));
        }
        EXPECT_NEAR(map.values[row * static_cast<size_t>(map.cols) + static_cast<size_t>(col)],
                    sum / static_cast<double>(end - begin), 1e-4)
            << "column " << col << " of " << range.size() << " steps";
      }
    }
  }
}

TEST(StepCells, LiveAndReplayedMapsAndStripsAgree) {
  const FrameHistory live = live_history(kLong);
  for (const View* view : {*find_view("state"), &timeline_view()}) {
    const FrameHistory stored = stored_history(kLong, *view);
    const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
    const SceneInput of_live{live, {}, {1400, 900}, metrics};
    const SceneInput of_stored{stored, {}, {1400, 900}, metrics};
    const json a = render_json(view->scene(of_live));
    const json b = render_json(view->scene(of_stored));
    EXPECT_EQ(a["tiles"], b["tiles"]) << view->name();
    EXPECT_EQ(a["series"], b["series"]) << view->name();
  }
}

TEST(StepCells, TheViewsSayWhatACellIs) {
  const FrameHistory history = live_history(kLong);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const json state = render_json((*find_view("state"))->scene({history, {}, {1400, 900}, metrics}));
  EXPECT_THAT(state["notes"].dump(), ::testing::HasSubstr("Each column shows the mean of "));
  const json timeline = render_json(timeline_view().scene({history, {}, {1400, 200}, metrics}));
  EXPECT_THAT(timeline["notes"].dump(), ::testing::HasSubstr("largest of "));
}

TEST(StepCells, TheTimelinesStripIsAsItsStepsGive) {
  const FrameHistory history = live_history(kLong);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  ViewState state;
  state.token_scalar = "residual.norm";
  state.selected.layer = 3;
  const Scene scene = timeline_view().scene({history, state, {1400, 200}, metrics});
  const auto series = std::ranges::find(scene.series, std::string("residual.norm"), &Series::probe);
  ASSERT_NE(series, scene.series.end());
  ASSERT_GT(series->x.size(), 200u);
  for (size_t i = 0; i + 1 < series->x.size(); i += 41) {
    float most = 0;
    for (auto step = static_cast<int64_t>(series->x[i]); step < static_cast<int64_t>(series->x[i + 1]); ++step) {
      most = std::max(most, norm_at(step, 3, 0));
    }
    EXPECT_FLOAT_EQ(static_cast<float>(series->y[i]), most) << "from step " << series->x[i];
  }
}

}  // namespace
}  // namespace orrery
