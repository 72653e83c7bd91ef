// The convolution view by value.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/mixer_run.h"
#include "tests/views/scene_json.h"
#include "views/conv_cells.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

json draw_json(const FrameHistory& history, const ViewState& state, Size size = {1280, 800}) {
  return draw_json("convolution", history, state, size);
}

TEST(TapCells, AreTheRecordedTapsOfOneLayerAndOfAllAtAStep) {
  const MixerRun run;
  const FrameHistory history = run.history(12);
  const TapMap map = tap_map(history, 2, {0, 12}, 100);
  ASSERT_EQ(map.rows, 4);
  ASSERT_EQ(map.cols, 12);
  const TapTable table = tap_table(history, 7);
  EXPECT_EQ(table.layers, (std::vector<int32_t>{0, 2, 3}));
  ASSERT_EQ(table.cols, 4);
  for (int32_t tap = 0; tap < 4; ++tap) {
    for (int64_t step = 0; step < 12; ++step) {
      EXPECT_EQ(map.values[static_cast<size_t>(tap * 12 + step)], run.tap(step, 2, tap));
    }
    EXPECT_EQ(table.values[4 + static_cast<size_t>(tap)], run.tap(7, 2, tap));
    if (tap == 0) continue;
    EXPECT_EQ(table.values[static_cast<size_t>(tap)], run.tap(7, 0, tap - 1)) << "t stands below t";
  }
  EXPECT_TRUE(std::isnan(table.values[0])) << "layer 0 has three taps";
  EXPECT_EQ(taps_at(history, 0, 7).values, (std::vector<float>{run.tap(7, 0, 0), run.tap(7, 0, 1), run.tap(7, 0, 2)}));
}

TEST(TapCells, WhatIsMissingStaysMissing) {
  const MixerRun run;
  FrameHistory history;
  history.reset(run.info());
  for (int64_t step = 0; step < 40; ++step) {
    if (step < 8 || step >= 16) history.add_batch(run.batch(step));
  }
  const TapMap map = tap_map(history, 2, {0, 40}, 10);
  EXPECT_EQ(map.steps_per_col, 4);
  ASSERT_EQ(map.missing.size(), 1u);
  EXPECT_EQ(map.missing[0], (StepRange{8, 16}));
  EXPECT_TRUE(std::isnan(map.values[2]));
  EXPECT_EQ(map.values[4], run.tap(19, 2, 0)) << "a column is as its last step";
  EXPECT_TRUE(taps_at(history, 2, 10).values.empty());
  EXPECT_TRUE(taps_at(history, 1, 20).values.empty()) << "attention has no taps";
  const json scene = draw_json(history, at(10, 2));
  EXPECT_GE(scene["missing"].size(), 3u) << "columns, the table and the bars";
  EXPECT_TRUE(named(scene["series"], "taps").is_null());
}

TEST(ConvolutionView, DrawsGatesAndTapsAsRecorded) {
  const MixerRun run;
  const FrameHistory history = run.history(30);
  const json scene = draw_json(history, at(10, 2));
  const json gate = named(scene["tiles"], "gate before the convolution, mean size by layer");
  EXPECT_EQ(gate["rows"], 1);
  const json after = named(scene["tiles"], "gate after the convolution, mean size by layer");
  const json taps = named(scene["tiles"], "taps by step");
  EXPECT_EQ(scene["axes"][taps["row_axis"].get<size_t>()]["labels"], json({"t-3", "t-2", "t-1", "t"}));
  for (size_t step = 0; step < 30; ++step) {
    const auto s = static_cast<int64_t>(step);
    EXPECT_FLOAT_EQ(gate["cells"][0][step].get<float>(), run.gate(s, true));
    EXPECT_FLOAT_EQ(after["cells"][0][step].get<float>(), run.gate(s, false));
    for (size_t tap = 0; tap < 4; ++tap) {
      EXPECT_FLOAT_EQ(taps["cells"][tap][step].get<float>(), run.tap(s, 2, static_cast<int32_t>(tap)));
    }
  }
  const json bars = named(scene["series"], "taps");
  EXPECT_EQ(bars["x"], json({-3., -2., -1., 0.}));
  EXPECT_EQ(bars["labels"][3], "t ␣the");
  EXPECT_EQ(bars["labels"][1], "t-2 ␣shop");
  for (size_t tap = 0; tap < 4; ++tap) {
    EXPECT_FLOAT_EQ(bars["y"][tap].get<float>(), run.tap(10, 2, static_cast<int32_t>(tap)));
  }
  const json table = named(scene["tiles"], "taps by layer");
  EXPECT_TRUE(table["cells"][0][0].is_null());
  EXPECT_FLOAT_EQ(table["cells"][2][3].get<float>(), run.tap(10, 3, 3));
}

TEST(ConvolutionView, OtherHistoriesOtherPicturesLiveAndRecordedAlike) {
  const json live = draw_json(MixerRun{}.history(20), at(10, 2));
  EXPECT_NE(live["tiles"], draw_json(MixerRun{.seed = 2}.history(20), at(10, 2))["tiles"]);
  const json recorded = draw_json(MixerRun{.origin = Origin::kRecorded}.history(20), at(10, 2));
  for (const char* part : {"tiles", "series", "axes", "missing"}) EXPECT_EQ(live[part], recorded[part]) << part;
  EXPECT_NE(live["provenance"], recorded["provenance"]);
}

TEST(ConvolutionView, NamesWhatATapReadsBeforeTheText) {
  const json bars = named(draw_json(MixerRun{}.history(4), at(1, 2))["series"], "taps");
  EXPECT_EQ(bars["labels"][0], "t-3 before the text");
  EXPECT_EQ(bars["y"][0], 0.0);
}

TEST(ConvolutionView, AClickOnATapSelectsTheTokenThatItReads) {
  const FrameHistory history = MixerRun{}.history(30);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("convolution"))->scene({history, at(10, 2), {1280, 800}, metrics});
  int n_taps = 0;
  for (const HitRegion& region : scene.regions) {
    const auto* select = region.click ? std::get_if<Select>(&*region.click) : nullptr;
    if (select == nullptr || !select->key) continue;
    EXPECT_EQ(*select->key, 7 + n_taps++);
  }
  EXPECT_EQ(n_taps, 4);
}

TEST(ConvolutionView, ColoursAreThoseOfTheMap) {
  const MixerRun run;
  const FrameHistory history = run.history(30);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kDark));
  const Scene scene = (*find_view("convolution"))->scene({history, at(10, 2), {1280, 800}, metrics});
  int n_tiles = 0;
  for (const Item& item : scene.items) {
    const auto* tile = std::get_if<Tile>(&item);
    if (tile == nullptr || tile->name != "taps by step") continue;
    ++n_tiles;
    const ColourScale& scale = scene.scales[static_cast<size_t>(tile->scale)];
    const std::vector<Rgba> pixels = tile_pixels(*tile, scale, theme_of(ThemeKind::kDark));
    const float share = std::sqrt(run.tap(10, 2, 1) / scale.high);
    EXPECT_EQ(pixels[30 + 10],
              colour_table(ColourMapId::kSequential, true)[static_cast<size_t>(std::lround(share * 255))]);
  }
  EXPECT_EQ(n_tiles, 1);
}

TEST(ConvolutionView, SaysWhereThereIsNone) {
  EXPECT_TRUE(says(draw_json(MixerRun{}.history(5), at(3, 1)), "1 attention, window 6 has no short convolution"));
  EXPECT_EQ(draw_json(MixerRun{}.history(5), {})["selection"]["layer"], 0);
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(3);
  EXPECT_EQ((*find_view("convolution"))->unavailable(history.info()), "This model has no short convolutions.");
  EXPECT_TRUE(says(draw_json(history, {}), "no short convolutions"));
}

}  // namespace
}  // namespace orrery
