#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/sample_run.h"
#include "views/json_renderer.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

const Theme& theme() { return theme_of(ThemeKind::kLight); }

json draw_json(const FrameHistory& history, const ViewState& state, Size size = {1000, 700}) {
  const FixedWidthMetrics metrics(theme());
  const SampleTexts texts;
  return render_json((*find_view("attention"))->scene({history, state, size, metrics, &texts}));
}

const json* tile(const json& scene, const std::string& name) {
  for (const json& one : scene["tiles"]) {
    if (one["name"] == name) return &one;
  }
  return nullptr;
}

ViewState looking_at(int64_t step, int32_t layer, int32_t head) {
  ViewState state;
  state.follow = false;
  state.selected = {.step = step, .layer = layer, .head = head};
  return state;
}

TEST(AttentionView, DrawsTheRecordedWeightsOfTheSelectedHead) {
  const SampleRun run{.n_layers = 3, .n_heads = 2};
  const FrameHistory history = run.history(10);
  const json scene = draw_json(history, looking_at(7, 2, 1));
  const json* rows = tile(scene, "exact rows");
  ASSERT_NE(rows, nullptr);
  EXPECT_EQ(tile(scene, "block mass"), nullptr);
  ASSERT_EQ((*rows)["cells"].size(), 10u);
  for (int64_t step = 0; step < 10; ++step) {
    const std::vector<float> weights = run.weights(step, 2, 1);
    const json& cells = (*rows)["cells"][static_cast<size_t>(step)];
    ASSERT_EQ(cells.size(), 10u);
    for (size_t key = 0; key < 10; ++key) {
      EXPECT_FLOAT_EQ(cells[key].get<float>(), key < weights.size() ? weights[key] : 0.0f) << step << " " << key;
    }
  }
}

TEST(AttentionView, DrawsOneCellPerLayerAndHeadWithItsScalar) {
  const SampleRun run{.n_layers = 3, .n_heads = 2};
  const FrameHistory history = run.history(10);
  ViewState state = looking_at(4, 0, 0);
  state.head_scalar = "attention.first";
  const json scene = draw_json(history, state);
  const json* heads = tile(scene, "heads");
  ASSERT_NE(heads, nullptr);
  EXPECT_EQ((*heads)["probe"], "attention.first");
  for (int32_t layer = 0; layer < 3; ++layer) {
    for (int32_t head = 0; head < 2; ++head) {
      const std::vector<float> w = run.weights(4, layer, head);
      EXPECT_NEAR((*heads)["cells"][static_cast<size_t>(layer)][static_cast<size_t>(head)].get<float>(),
                  w[0] + w[1] + w[2] + w[3], 1e-6);
    }
  }
  const json& axis = scene["axes"][(*heads)["row_axis"].get<size_t>()];
  EXPECT_EQ(axis["labels"], json({"0 attention", "1 attention", "2 attention"}));
}

TEST(AttentionView, ShowsBlockMassAndTheLargest32WhereExactRowsAreMissingAndSaysSo) {
  const SampleRun run{.n_layers = 2, .n_heads = 2, .exact_steps = 0};
  const FrameHistory history = run.history(130);
  const json scene = draw_json(history, looking_at(129, 1, 0), {1400, 900});
  EXPECT_EQ(tile(scene, "exact rows"), nullptr);
  const json* mass = tile(scene, "block mass");
  const json* marks = tile(scene, "top 32");
  ASSERT_NE(mass, nullptr);
  ASSERT_NE(marks, nullptr);
  const std::vector<float> weights = run.weights(129, 1, 0);
  float sums[3] = {0, 0, 0};
  for (size_t key = 0; key < weights.size(); ++key) sums[key / 64] += weights[key];
  for (size_t block = 0; block < 3; ++block) EXPECT_NEAR((*mass)["cells"][129][block].get<float>(), sums[block], 1e-5);
  int n_marks = 0;
  for (size_t key = 0; key < weights.size(); ++key) {
    const json& cell = (*marks)["cells"][129][key];
    if (cell.is_null()) continue;
    ++n_marks;
    EXPECT_FLOAT_EQ(cell.get<float>(), weights[key]);
  }
  EXPECT_EQ(n_marks, 32);
  EXPECT_NE(scene.dump().find("block mass (64 keys, approximate positions)"), std::string::npos);
  bool says_approximate = false;
  for (const json& one : scene["provenance"])
    says_approximate = says_approximate || (one["probe"] == "attention.mass" && !one["exact"].get<bool>());
  EXPECT_TRUE(says_approximate);
}

TEST(AttentionView, KeepsExactRowsAndBlockMassInSeparateTiles) {
  const SampleRun run{.n_layers = 1, .n_heads = 1, .exact_steps = 40};
  const FrameHistory history = run.history(80);
  const json scene = draw_json(history, looking_at(79, 0, 0));
  const json* rows = tile(scene, "exact rows");
  const json* mass = tile(scene, "block mass");
  ASSERT_NE(rows, nullptr);
  ASSERT_NE(mass, nullptr);
  // Each has the rows of its kind, and an axis that says which.
  EXPECT_EQ((*rows)["rows"], 40);
  EXPECT_EQ((*mass)["rows"], 40);
  EXPECT_EQ(scene["axes"][(*rows)["row_axis"].get<size_t>()]["begin"], 0);
  EXPECT_EQ(scene["axes"][(*mass)["row_axis"].get<size_t>()]["begin"], 40);
  EXPECT_NEAR((*rows)["rect"][1].get<float>() + (*rows)["rect"][3].get<float>(), (*mass)["rect"][1].get<float>(), 0.01);
  EXPECT_FLOAT_EQ((*mass)["cells"][0][0].get<float>(), history.row(*find_probe("attention.mass"), 40).f32()[0]);
}

// The map of a head that the history gathers is the one that its frames give, at every zoom.
TEST(AttentionView, DrawsTheSameMapOfAGatheredHead) {
  const SampleRun run{.n_layers = 2, .n_heads = 2, .exact_steps = 40};
  const FrameHistory frames = run.history(300);
  FrameHistory gathered = frames;
  while (gathered.gather_mass(1, 0, 64)) {
  }
  for (const StepRange& steps : {StepRange{}, StepRange{37, 260}, StepRange{100, 171}, StepRange{41, 44}}) {
    for (const Size size : {Size{1000, 700}, Size{420, 300}, Size{240, 140}}) {
      ViewState state = looking_at(250, 1, 0);
      state.steps = steps;
      const json expected = draw_json(frames, state, size);
      EXPECT_EQ(draw_json(gathered, state, size), expected);
      if (const json* mass = tile(expected, "block mass")) {
        EXPECT_GT((*mass)["rows"], 0);
      }
    }
  }
  EXPECT_NE(tile(draw_json(gathered, looking_at(250, 1, 0)), "block mass"), nullptr);
}

TEST(AttentionView, OverlaysARecomputedRowOnItsBlockMassAndSaysWhyThereIsNone) {
  const SampleRun run{.n_layers = 2, .n_heads = 2, .exact_steps = 0};
  FrameHistory history = run.history(260);
  const ViewState state = looking_at(250, 1, 0);
  const FixedWidthMetrics metrics(theme());
  const View& view = **find_view("attention");
  const WantedRow wanted = view.wanted_row(history, state).value();
  EXPECT_EQ(wanted, (WantedRow{find_probe("attention.row"), 250, 1, 0}));
  const auto draw = [&] {
    return render_json(view.scene({history, state, {1000, 700}, metrics, nullptr, "Pause, or click a step."}));
  };
  const json before = draw();
  EXPECT_EQ(tile(before, "block mass of the row"), nullptr);
  EXPECT_NE(before.dump().find("Pause, or click a step."), std::string::npos);

  std::vector<float> values;
  for (const int32_t head : {0, 1}) {
    const std::vector<float> row = run.weights(250, 1, head);
    values.insert(values.end(), row.begin(), row.end());
  }
  Frame frame = make_frame("attention.row", 250, {1}, {2, 251}, values, Origin::kRecomputed);
  frame.heads = {0, 1};
  history.add_recalled(frame);
  const json after = draw();
  EXPECT_EQ(after.dump().find("Pause, or click a step."), std::string::npos);
  EXPECT_NE(after.dump().find("exact, recomputed"), std::string::npos);
  const std::vector<float> weights = run.weights(250, 1, 0);
  bool has_row = false;
  for (const json& series : after["series"]) {
    if (series["name"] != "row") continue;
    has_row = true;
    ASSERT_EQ(series["y"].size(), weights.size());
    for (size_t key = 0; key < weights.size(); ++key) EXPECT_FLOAT_EQ(series["y"][key].get<float>(), weights[key]);
  }
  EXPECT_TRUE(has_row);
  const json* strip = tile(after, "block mass of the row");
  ASSERT_NE(strip, nullptr);
  const FrameRow mass = history.row(*find_probe("attention.mass"), 250);
  for (size_t block = 0; block < 4; ++block) {
    EXPECT_FLOAT_EQ((*strip)["cells"][0][block].get<float>(), mass.layer_f32(1)[block]);
  }
  EXPECT_EQ(tile(after, "block mass")->at("cells"), tile(before, "block mass")->at("cells")) << "the map stays";
}

TEST(AttentionView, ShowsPinnedHeadsAndOffersToPinTheOneThatIsLookedAt) {
  const SampleRun run{.n_layers = 3, .n_heads = 4};
  const FrameHistory history = run.history(10);
  const FixedWidthMetrics metrics(theme());
  ViewState state = looking_at(7, 2, 1);
  const auto pin_region = [&](const Scene& scene) -> const HitRegion* {
    for (const HitRegion& region : scene.regions) {
      if (region.click && std::holds_alternative<PinHead>(*region.click)) return &region;
    }
    return nullptr;
  };
  for (const bool on : {true, false}) {
    const Scene scene = (*find_view("attention"))->scene({history, state, {1000, 700}, metrics});
    const HitRegion* region = pin_region(scene);
    ASSERT_NE(region, nullptr);
    const std::optional<Hit> hit = hit_test(scene, region->rect.centre());
    ASSERT_TRUE(hit && hit->click);
    EXPECT_EQ(std::get<PinHead>(*hit->click), (PinHead{.layer = 2, .head = 1, .on = on}));
    EXPECT_EQ(toggle_pin(history, state), hit->click);
    apply(state, *hit->click);
    EXPECT_EQ(state.pins.size(), on ? 1u : 0u);
  }
}

TEST(AttentionView, HatchesWhatIsNotRecorded) {
  const SampleRun run{.n_layers = 1, .n_heads = 1};
  FrameHistory history;
  history.reset(run.info());
  for (int64_t step = 0; step < 20; ++step) {
    if (step >= 5 && step < 9) {
      history.add_token(run.token(step));
    } else {
      history.add_batch(run.batch(step));
    }
  }
  const json scene = draw_json(history, looking_at(6, 0, 0));
  const json* rows = tile(scene, "exact rows");
  ASSERT_NE(rows, nullptr);
  for (size_t step = 0; step < 20; ++step) {
    EXPECT_EQ((*rows)["cells"][step][0].is_null(), step >= 5 && step < 9) << step;
  }
  // The map's four rows, the cells of the heads and the row of step 6.
  EXPECT_GE(scene["missing"].size(), 3u);
  const json& rect = (*rows)["rect"];
  bool found = false;
  for (const json& hatch : scene["missing"]) {
    found = found || (std::fabs(hatch[3].get<float>() - rect[3].get<float>() * 4 / 20) < 0.1f &&
                      std::fabs(hatch[1].get<float>() - rect[1].get<float>() - rect[3].get<float>() * 5 / 20) < 0.1f);
  }
  EXPECT_TRUE(found);
  EXPECT_NE(scene.dump().find("not recorded"), std::string::npos);
}

TEST(AttentionView, TakesTheLargestWeightWhereCellsShareAPixelAndSaysSo) {
  const SampleRun run{.n_layers = 1, .n_heads = 1};
  const FrameHistory history = run.history(300);
  const json scene = draw_json(history, looking_at(299, 0, 0), {420, 260});
  const json* rows = tile(scene, "exact rows");
  ASSERT_NE(rows, nullptr);
  const json& row_axis = scene["axes"][(*rows)["row_axis"].get<size_t>()];
  const auto steps = row_axis["per_cell"].get<int64_t>();
  const auto keys = scene["axes"][(*rows)["column_axis"].get<size_t>()]["per_cell"].get<int64_t>();
  ASSERT_GT(steps, 1);
  const int64_t r = 100 / steps;
  const int64_t c = 40 / keys;
  float most = 0;
  for (int64_t step = r * steps; step < (r + 1) * steps; ++step) {
    const std::vector<float> w = run.weights(step, 0, 0);
    for (int64_t key = c * keys; key < std::min<int64_t>((c + 1) * keys, step + 1); ++key)
      most = std::max(most, w[static_cast<size_t>(key)]);
  }
  EXPECT_FLOAT_EQ((*rows)["cells"][static_cast<size_t>(r)][static_cast<size_t>(c)].get<float>(), most);
  EXPECT_NE(scene["provenance"][0]["note"].get<std::string>().find("largest of " + std::to_string(steps) + " steps"),
            std::string::npos);
}

TEST(AttentionView, ReadsTheRightHeadOfAFrameThatHoldsOnlySome) {
  const SampleRun run{.n_layers = 2, .n_heads = 4};
  FrameHistory history;
  history.reset(run.info());
  history.add_token(run.token(0));
  history.add_token(run.token(1));
  Frame frame = make_frame("attention.row", 1, {1}, {2, 2}, {0.1f, 0.9f, 0.3f, 0.7f});
  frame.heads = {1, 3};
  history.add_frame(frame);
  EXPECT_FLOAT_EQ((*tile(draw_json(history, looking_at(1, 1, 3)), "exact rows"))["cells"][1][0].get<float>(), 0.3f);
  EXPECT_EQ(tile(draw_json(history, looking_at(1, 1, 2)), "exact rows"), nullptr);
  EXPECT_EQ(tile(draw_json(history, looking_at(1, 0, 1)), "exact rows"), nullptr);
}

TEST(AttentionView, LiveAndRecordedFramesDifferInNothingButProvenance) {
  SampleRun run{.n_layers = 2, .n_heads = 2, .exact_steps = 20};
  json live = draw_json(run.history(40), looking_at(30, 1, 1));
  run.origin = Origin::kRecorded;
  json recorded = draw_json(run.history(40), looking_at(30, 1, 1));
  EXPECT_NE(live, recorded);
  const auto strip = [](json& scene) {
    scene.erase("provenance");
    json texts = json::array();
    for (const json& text : scene["texts"]) {
      if (text["role"] != "provenance") texts.push_back(text);
    }
    scene["texts"] = texts;
  };
  strip(live);
  strip(recorded);
  EXPECT_EQ(live, recorded);
}

TEST(AttentionView, DifferentHeadsGiveDifferentPictures) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(20);
  EXPECT_NE((*tile(draw_json(history, looking_at(19, 0, 0)), "exact rows"))["cells"],
            (*tile(draw_json(history, looking_at(19, 0, 1)), "exact rows"))["cells"]);
}

TEST(AttentionView, ZoomShowsTheKeysAskedFor) {
  const SampleRun run{.n_layers = 1, .n_heads = 1};
  ViewState state = looking_at(99, 0, 0);
  apply(state, ZoomKeys{{20, 40}});
  apply(state, ZoomSteps{{50, 60}});
  const json scene = draw_json(run.history(100), state);
  const json* rows = tile(scene, "exact rows");
  ASSERT_NE(rows, nullptr);
  EXPECT_EQ((*rows)["rows"], 10);
  EXPECT_EQ((*rows)["columns"], 20);
  EXPECT_FLOAT_EQ((*rows)["cells"][3][4].get<float>(), run.weights(53, 0, 0)[24]);
}

TEST(AttentionView, ClickOnTheMapSelectsStepAndKeyAndOnTheHeadsLayerAndHead) {
  const FrameHistory history = SampleRun{.n_layers = 3, .n_heads = 2}.history(10);
  const FixedWidthMetrics metrics(theme());
  const Scene scene = (*find_view("attention"))->scene({history, looking_at(5, 0, 0), {1000, 700}, metrics});
  for (const Item& item : scene.items) {
    const auto* tile_item = std::get_if<Tile>(&item);
    if (tile_item == nullptr) continue;
    const Rect& r = tile_item->rect;
    const auto hit = hit_test(scene, {r.x + r.width * (1.5f / static_cast<float>(tile_item->cols)),
                                      r.y + r.height * (2.5f / static_cast<float>(tile_item->rows))});
    ASSERT_TRUE(hit.has_value());
    const Select command = std::get<Select>(*hit->click);
    if (tile_item->name == "heads") {
      EXPECT_EQ(command.layer, 2);
      EXPECT_EQ(command.head, 1);
      EXPECT_NE(hit->tooltip.find("2 attention"), std::string::npos);
    } else {
      EXPECT_EQ(command.step, 2);
      EXPECT_EQ(command.key, 1);
      EXPECT_NE(hit->tooltip.find("attention.row"), std::string::npos);
    }
  }
  EXPECT_FALSE(hit_test(scene, {-5, -5}).has_value());
}

TEST(AttentionView, SaysWhyAModelWithoutAttentionLacksIt) {
  RunInfo info;
  info.config.layers.resize(2);
  info.config.layers[0].mixers = {MixerKind::kMatrixState};
  EXPECT_TRUE((*find_view("attention"))->unavailable(info).has_value());
  info.config.layers[1].mixers = {MixerKind::kAttention};
  EXPECT_FALSE((*find_view("attention"))->unavailable(info).has_value());
}

}  // namespace
}  // namespace orrery
