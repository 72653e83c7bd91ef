// The mixing view by value.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/mixer_run.h"
#include "tests/views/scene_json.h"
#include "views/mixing_cells.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

constexpr Size kSize{1280, 800};

json draw_json(const FrameHistory& history, const ViewState& state, Size size = kSize) {
  return draw_json("mixing", history, state, size);
}

std::vector<std::string> names(const std::vector<MixingLane>& lanes) {
  std::vector<std::string> list;
  for (const MixingLane& lane : lanes) list.push_back(lane.name);
  return list;
}

// The weight greatest in size of a layer's heads.
template <typename Weight>
float greatest(int32_t n_heads, const Weight& weight) {
  float most = 0;
  for (int32_t head = 0; head < n_heads; ++head) {
    if (const float w = weight(head); std::fabs(w) > std::fabs(most)) most = w;
  }
  return most;
}

TEST(MixingLanes, AreAllMixersOfAllLayers) {
  EXPECT_EQ(names(mixing_lanes(MixerRun{}.info().config)),
            (std::vector<std::string>{"0 convolution", "1 attention, window 6", "2 Mamba-2", "2 convolution",
                                      "3 attention", "3 Mamba-2", "3 convolution"}));
  const std::vector<std::string> fast = names(mixing_lanes(FastRun{}.info().config));
  EXPECT_EQ(fast, (std::vector<std::string>{"0 TTT-Linear", "1 attention", "2 TTT-MLP"}));
}

TEST(MixingLanes, HoldWhatEachReadsFromEachKey) {
  const MixerRun run;
  const FrameHistory history = run.history(20);
  const std::vector<MixingLane> lanes = mixing_lanes(run.info().config);
  const auto cells = [&](size_t lane) { return lane_cells(history, lanes[lane], 15, {0, 20}, 100); };
  const LaneCells attention = cells(4);
  EXPECT_EQ(attention.form, LaneForm::kExact);
  EXPECT_EQ(attention.n_heads, 4);
  const LaneCells state = cells(2);
  EXPECT_EQ(state.form, LaneForm::kImplied);
  const LaneCells taps = cells(3);
  EXPECT_EQ(taps.form, LaneForm::kTaps);
  for (int64_t key = 0; key < 20; ++key) {
    const auto i = static_cast<size_t>(key);
    if (key > 15) {
      EXPECT_TRUE(std::isnan(attention.values[i]) && std::isnan(state.values[i]) && std::isnan(taps.values[i]));
      continue;
    }
    EXPECT_EQ(attention.values[i], greatest(4, [&](int32_t head) { return run.weights(15, 3, head)[i]; }));
    EXPECT_EQ(state.values[i], greatest(3, [&](int32_t head) { return run.implied_weight(15, 2, head, key); }));
    if (key > 11) {
      EXPECT_EQ(taps.values[i], run.tap(15, 2, static_cast<int32_t>(key - 12)));
    } else {
      EXPECT_TRUE(std::isnan(taps.values[i])) << "no tap is as old";
    }
  }
}

TEST(MixingLanes, LeaveOutWhatAWindowDoesNotSee) {
  const MixerRun run;
  const FrameHistory history = run.history(20);
  const LaneCells cells = lane_cells(history, mixing_lanes(run.info().config)[1], 15, {0, 20}, 100);
  EXPECT_EQ(cells.unseen, (StepRange{0, 10}));
  EXPECT_TRUE(std::isnan(cells.values[9]));
  EXPECT_EQ(cells.values[10], greatest(2, [&](int32_t head) { return run.weights(15, 1, head)[10]; }));
}

TEST(MixingLanes, AreBlockMassWhereExactRowsAreNotHeldAndMissingWhereNothingIs) {
  const MixerRun run{.exact = false, .implied = false};
  const FrameHistory history = run.history(150);
  const std::vector<MixingLane> lanes = mixing_lanes(run.info().config);
  const LaneCells attention = lane_cells(history, lanes[4], 149, {0, 150}, 1000);
  EXPECT_EQ(attention.form, LaneForm::kBlockMass);
  EXPECT_EQ(attention.keys_per_col, 64);
  EXPECT_EQ(attention.keys, (StepRange{0, 192}));
  ASSERT_EQ(attention.cols, 3);
  const auto mass = [&](int32_t head, size_t block) {
    float sum = 0;
    for (size_t key = block * 64; key < std::min<size_t>(150, block * 64 + 64); ++key)
      sum += run.weights(149, 3, head)[key];
    return sum;
  };
  for (size_t block = 0; block < 3; ++block) {
    EXPECT_FLOAT_EQ(attention.values[block], greatest(4, [&](int32_t head) { return mass(head, block); }));
  }
  EXPECT_EQ(lane_cells(history, lanes[5], 149, {0, 150}, 1000).form, LaneForm::kMissing);
  const LaneRow row = lane_row(history, lanes[4], 2, 149);
  EXPECT_EQ(row.form, LaneForm::kBlockMass);
  EXPECT_FLOAT_EQ(row.values[1], mass(2, 1));
  ASSERT_EQ(row.top.size(), 32u);
  EXPECT_EQ(row.top[0].second, run.weights(149, 3, 2)[static_cast<size_t>(row.top[0].first)]);
  EXPECT_GT(row.left_out, 0);
}

TEST(MixingLanes, RowsOfSomeHeadsDoNotPassForAll) {
  const MixerRun run{.exact = false};
  FrameHistory history = run.history(10);
  const std::vector<float> w = run.weights(9, 3, 2);
  std::vector<float> rows(2 * 10, 0.0f);
  std::copy(w.begin(), w.end(), rows.begin() + 10);
  Frame pinned = make_frame("attention.row", 9, {1, 3}, {1, 10}, rows);
  pinned.heads = {2};
  history.add_frame(pinned);
  const MixingLane lane = mixing_lanes(run.info().config)[4];
  EXPECT_EQ(lane_cells(history, lane, 9, {0, 10}, 100).form, LaneForm::kBlockMass);
  const LaneRow row = lane_row(history, lane, 2, 9);
  EXPECT_EQ(row.form, LaneForm::kExact);
  EXPECT_EQ(row.values, w);
}

TEST(MixingView, DrawsEveryMixerOnOneAxisOfKeys) {
  const MixerRun run;
  const FrameHistory history = run.history(20);
  const json scene = draw_json(history, at(15, 3, 1));
  ASSERT_EQ(scene["tiles"].size(), 7u);
  for (const json& tile : scene["tiles"]) {
    EXPECT_EQ(tile["columns"], 20) << tile["name"];
    EXPECT_EQ(tile["rect"], [&] {
      json rect = scene["tiles"][0]["rect"];
      rect[1] = tile["rect"][1];
      rect[3] = tile["rect"][3];
      return rect;
    }()) << "keys stand below each other";
  }
  const json lane = named(scene["tiles"], "3 Mamba-2");
  for (size_t key = 0; key < 16; ++key) {
    EXPECT_FLOAT_EQ(lane["cells"][0][key].get<float>(), greatest(3, [&](int32_t head) {
                      return run.implied_weight(15, 3, head, static_cast<int64_t>(key));
                    }));
  }
  EXPECT_TRUE(lane["cells"][0][16].is_null()) << "later than the step";
  const json scale = scene["scales"][lane["scale"].get<size_t>()];
  EXPECT_EQ(scale["map"], "diverging");
  EXPECT_EQ(scale["low"].get<double>(), -scale["high"].get<double>());
  EXPECT_TRUE(says(scene, "implied, signed, recomputed"));
}

TEST(MixingView, DrawsTheSelectedHeadOfEveryMixerOfTheLayer) {
  const MixerRun run;
  const FrameHistory history = run.history(20);
  const json scene = draw_json(history, at(15, 3, 1));
  const json attention = named(scene["series"], "3 attention, head 1");
  const json state = named(scene["series"], "3 Mamba-2, head 1");
  const json taps = named(scene["series"], "3 convolution");
  ASSERT_EQ(attention["y"].size(), 16u);
  for (size_t key = 0; key < 16; ++key) {
    EXPECT_FLOAT_EQ(attention["y"][key].get<float>(), run.weights(15, 3, 1)[key]);
    EXPECT_FLOAT_EQ(state["y"][key].get<float>(), run.implied_weight(15, 3, 1, static_cast<int64_t>(key)));
  }
  EXPECT_FLOAT_EQ(taps["y"][15].get<float>(), run.tap(15, 3, 3));
  EXPECT_TRUE(taps["y"][11].is_null());
  // A head that only the attention has: each mixer takes the nearest of its own.
  EXPECT_FALSE(named(draw_json(history, at(15, 3, 3))["series"], "3 Mamba-2, head 2").is_null());
}

TEST(MixingView, SaysWhatIsMissingAndHowToGetIt) {
  const FrameHistory history = MixerRun{.exact = false, .implied = false}.history(150);
  const json scene = draw_json(history, at(149, 3, 1));
  EXPECT_EQ(scene["tiles"].size(), 5u) << "all but the implied rows";
  EXPECT_EQ(named(scene["tiles"], "3 attention")["columns"], 3);
  EXPECT_EQ(scene["missing"].size(), 3u) << "two lanes and the selected layer's row";
  EXPECT_TRUE(says(scene, "block mass"));
  EXPECT_NE(scene["notes"].dump().find("shot --model"), std::string::npos);
  EXPECT_FALSE(named(scene["series"], "3 attention, head 1, 32 largest").is_null());
}

TEST(MixingView, OtherHistoriesOtherPicturesLiveAndRecordedAlike) {
  const json live = draw_json(MixerRun{}.history(20), at(15, 3));
  EXPECT_NE(live["tiles"], draw_json(MixerRun{.seed = 2}.history(20), at(15, 3))["tiles"]);
  const json recorded = draw_json(MixerRun{.origin = Origin::kRecorded}.history(20), at(15, 3));
  for (const char* part : {"tiles", "series", "axes", "missing"}) EXPECT_EQ(live[part], recorded[part]) << part;
}

TEST(MixingView, AClickSelectsLayerAndKeyAndTheWheelZoomsKeys) {
  const FrameHistory history = MixerRun{}.history(20);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("mixing"))->scene({history, at(15, 3), kSize, metrics});
  for (const Item& item : scene.items) {
    const auto* tile = std::get_if<Tile>(&item);
    if (tile == nullptr || tile->name != "2 Mamba-2") continue;
    const Point p{tile->rect.x + tile->rect.width * 4.5f / 20, tile->rect.centre().y};
    const auto hit = hit_test(scene, p);
    ASSERT_TRUE(hit && hit->click);
    EXPECT_EQ(std::get<Select>(*hit->click), (Select{.layer = 2, .key = 4}));
    EXPECT_NE(hit->tooltip.find("mixer 2 Mamba-2, key 4\nstate.row"), std::string::npos) << hit->tooltip;
    ASSERT_TRUE(std::holds_alternative<ZoomKeys>(*wheel_at(scene, p, 1)));
    ViewState zoomed = at(15, 3);
    apply(zoomed, ZoomKeys{{4, 12}});
    const json some = draw_json(history, zoomed);
    EXPECT_EQ(named(some["tiles"], "2 Mamba-2")["columns"], 8);
    return;
  }
  FAIL() << "no lane";
}

TEST(MixingView, ColoursAreThoseOfTheMap) {
  const MixerRun run;
  const FrameHistory history = run.history(20);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("mixing"))->scene({history, at(15, 3), kSize, metrics});
  for (const Item& item : scene.items) {
    const auto* tile = std::get_if<Tile>(&item);
    if (tile == nullptr || tile->name != "2 Mamba-2") continue;
    const ColourScale& scale = scene.scales[static_cast<size_t>(tile->scale)];
    const std::vector<Rgba> pixels = tile_pixels(*tile, scale, theme_of(ThemeKind::kLight));
    const float w = greatest(3, [&](int32_t head) { return run.implied_weight(15, 2, head, 6); });
    const float place = 0.5f + std::copysign(0.5f * std::sqrt(std::fabs(w) / scale.high), w);
    EXPECT_EQ(pixels[6], colour_table(ColourMapId::kDiverging, false)[static_cast<size_t>(std::lround(place * 255))]);
    return;
  }
  FAIL() << "no lane";
}

TEST(MixingView, HasARowForNoFastWeights) {
  const json scene = draw_json(FastRun{}.history(10), at(9, 0));
  EXPECT_TRUE(says(scene, "no row is defined"));
  EXPECT_FALSE(scene["missing"].empty());
}

}  // namespace
}  // namespace orrery
