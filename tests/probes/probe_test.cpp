#include "probes/probe.h"

#include <gmock/gmock.h>

#include <set>

#include "probes/model_axes.h"
#include "probes/tap_mask.h"
#include "tests/probes/make_model.h"

namespace orrery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::mixed_model;

TEST(Probes, HaveDistinctNamesAndQuantitiesAndAreFoundByName) {
  std::set<std::string_view> names;
  std::set<Quantity> quantities;
  for (const Probe* probe : all_probes()) {
    EXPECT_TRUE(names.insert(probe->name).second) << probe->name;
    EXPECT_TRUE(quantities.insert(probe->quantity).second) << probe->name;
    EXPECT_EQ(find_probe(probe->name), probe);
    EXPECT_FALSE(probe->description.empty()) << probe->name;
  }
  EXPECT_EQ(names.size(), 39u);
  EXPECT_EQ(find_probe("attention"), nullptr);
}

TEST(Probes, AxesInnerShapeAndPlannedWidthAgree) {
  const ModelConfig config = mixed_model();
  for (const Probe* probe : all_probes()) {
    for (const int64_t n_keys : {1, 63, 64, 65, 200}) {
      const std::vector<int64_t> inner = probe->inner_shape(config, n_keys);
      EXPECT_EQ(inner.size() + (probe->has_layers() ? 2 : 1), probe->axes.size()) << probe->name;
      int64_t words = probe->dtype == DType::kI64 ? 2 : 1;
      for (const int64_t size : inner) words *= size;
      EXPECT_EQ(probe->width(config).words(n_keys), words) << probe->name << " at " << n_keys << " keys";
    }
    EXPECT_EQ(probe->axes.front(), Axis::kStep) << probe->name;
    EXPECT_EQ(probe->has_layers(), !probe->layers(config).empty()) << probe->name;
    const bool named = probe->axes.back() == Axis::kField || probe->axes.back() == Axis::kComponent;
    EXPECT_EQ(probe->fields.size(), named ? static_cast<size_t>(probe->inner_shape(config, 1).back()) : 0u)
        << probe->name;
    if (probe->size_in == nullptr) continue;
    int32_t most = 0;
    for (const LayerConfig& layer : config.layers) most = std::max(most, probe->size_in(layer));
    EXPECT_EQ(probe->inner_shape(config, 1).front(), most) << probe->name;
  }
}

TEST(Probes, ListOnlyTheLayersThatHaveTheQuantity) {
  const ModelConfig config = mixed_model();
  EXPECT_THAT(find_probe("attention.entropy")->layers(config), ElementsAre(1, 3));
  EXPECT_THAT(find_probe("cache.entries")->layers(config), ElementsAre(1, 3));
  EXPECT_THAT(find_probe("residual.norm")->layers(config), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(find_probe("cache.bytes")->layers(config), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(find_probe("output.top")->layers(config), IsEmpty());
  EXPECT_THAT(find_probe("state.norm")->layers(config), ElementsAre(2, 3));
  EXPECT_THAT(find_probe("fast.drift")->layers(config), ElementsAre(3));
  EXPECT_THAT(find_probe("conv.gate_in")->layers(config), ElementsAre(0));
  EXPECT_THAT(find_probe("conv.taps")->layers(config), ElementsAre(0, 2));
  EXPECT_THAT(find_probe("moe.experts")->layers(config), ElementsAre(2, 3));
}

TEST(Probes, AxesAreAsLongAsTheLayerWithMostNeeds) {
  const ModelConfig config = mixed_model();
  EXPECT_THAT(find_probe("state.norm")->inner_shape(config, 9), ElementsAre(5));
  EXPECT_THAT(find_probe("state.keep")->inner_shape(config, 9), ElementsAre(5, 3));
  EXPECT_THAT(find_probe("state.row")->inner_shape(config, 9), ElementsAre(5, 9));
  EXPECT_THAT(find_probe("fast.loss_before")->inner_shape(config, 9), ElementsAre(4));
  EXPECT_THAT(find_probe("conv.gate_out")->inner_shape(config, 9), IsEmpty());
  EXPECT_THAT(find_probe("conv.taps")->inner_shape(config, 9), ElementsAre(4));
  EXPECT_THAT(find_probe("moe.experts")->inner_shape(config, 9), ElementsAre(3));
  EXPECT_THAT(find_probe("moe.weights")->inner_shape(config, 9), ElementsAre(3));
  EXPECT_THAT(find_probe("moe.margin")->inner_shape(config, 9), IsEmpty());
  EXPECT_EQ(find_probe("moe.experts")->dtype, DType::kI32);
}

TEST(Probes, GroupsOfChannelsAreNamedAsSuch) {
  LayerConfig mamba;
  mamba.mixers = {MixerKind::kMatrixState};
  mamba.state = testing::state_of(5);
  EXPECT_EQ(state_head_name(mamba, 3), "head 3");
  EXPECT_EQ(state_heads_name(mamba), "heads");
  mamba.state.recurrence = Recurrence::kMamba1;
  mamba.state.sizes.n_heads = 50;
  mamba.state.n_stat_heads = 16;
  EXPECT_EQ(state_heads_name(mamba), "16 groups of 50 channels");
  // Channel c is in group floor(16 c / 50).
  EXPECT_EQ(state_head_name(mamba, 0), "channels 0–3");
  EXPECT_EQ(state_head_name(mamba, 1), "channels 4–6");
  EXPECT_EQ(state_head_name(mamba, 15), "channels 47–49");
}

TEST(Probes, AModelWithoutAttentionOffersNoneOfItsProbes) {
  ModelConfig config = mixed_model();
  config.layers = {config.layers[0], config.layers[2]};
  EXPECT_FALSE(is_offered(*find_probe("attention.row"), config));
  EXPECT_TRUE(is_offered(*find_probe("output.top"), config));
  for (const Probe* probe : offered_probes(config)) EXPECT_FALSE(probe->name.starts_with("attention.")) << probe->name;
  const ProbePlan plan = compile(TapMask::of(Level::kFull), config);
  EXPECT_EQ(plan.find(Quantity::kAttentionRow), nullptr);
  EXPECT_EQ(plan.find(Quantity::kAttentionEntropy), nullptr);
  EXPECT_EQ(plan.find(Quantity::kCacheEntries), nullptr);
  EXPECT_NE(plan.find(Quantity::kResidualNorm), nullptr);
}

TEST(Levels, ContainTheOnesBeforeThem) {
  const TapMask light = TapMask::of(Level::kLight);
  const TapMask standard = TapMask::of(Level::kStandard);
  const TapMask full = TapMask::of(Level::kFull);
  EXPECT_TRUE(light.probes.contains(find_probe("attention.entropy")));
  EXPECT_FALSE(light.probes.contains(find_probe("attention.mass")));
  EXPECT_TRUE(standard.probes.contains(find_probe("attention.mass")));
  EXPECT_FALSE(standard.probes.contains(find_probe("lens.top")));
  EXPECT_EQ(full.probes.size(), all_probes().size() - 1) << "all but what is recomputed only";
  EXPECT_FALSE(full.probes.contains(find_probe("state.row")));
  EXPECT_TRUE(light.probes.contains(find_probe("state.norm")));
  EXPECT_TRUE(light.probes.contains(find_probe("moe.experts")));
  EXPECT_TRUE(light.probes.contains(find_probe("fast.loss_after")));
  for (const Probe* probe : light.probes) EXPECT_TRUE(standard.probes.contains(probe));
  for (const Level level : {Level::kLight, Level::kStandard, Level::kFull}) {
    EXPECT_EQ(parse_level(level_name(level)), level);
  }
  EXPECT_FALSE(parse_level("everything").has_value());
  EXPECT_FALSE(parse_level("recomputed").has_value()) << "no recording has this level";
}

TEST(TapMask, ImpliedRowsNeedTheHistoryOfTheRecurrences) {
  TapMask mask = TapMask::of(Level::kFull);
  EXPECT_FALSE(mask.needs_history());
  EXPECT_FALSE(compile(mask, mixed_model()).keeps_history);
  mask = {};
  mask.keeps_history = true;
  EXPECT_TRUE(compile(mask, mixed_model()).keeps_history) << "also before the steps whose rows are wanted";
  EXPECT_TRUE(compile(mask, mixed_model()).fields.empty());
  ModelConfig no_state = mixed_model();
  no_state.layers = {no_state.layers[0], no_state.layers[1]};
  EXPECT_FALSE(compile(mask, no_state).keeps_history);
  mask = {};
  mask.probes = {find_probe("state.row")};
  mask.row_layers = {1, 3};
  mask.row_heads = {0, 1, 4};
  EXPECT_TRUE(mask.needs_history());
  const ProbePlan plan = compile(mask, mixed_model());
  EXPECT_TRUE(plan.keeps_history);
  ASSERT_EQ(plan.fields.size(), 1u);
  EXPECT_THAT(plan.fields[0].layers, ElementsAre(3));
  EXPECT_THAT(plan.fields[0].heads, ElementsAre(0, 1, 4));
  EXPECT_EQ(plan.fields[0].width.words(10), 30);
}

TEST(TapMask, AsksForExactRowsOfTheNamedLayersAndHeadsOnly) {
  TapMask mask;
  mask.probes = {find_probe("attention.row")};
  mask.row_layers = {0, 3};
  mask.row_heads = {2, 0, 9};
  const ProbePlan plan = compile(mask, mixed_model());
  ASSERT_EQ(plan.fields.size(), 1u);
  EXPECT_THAT(plan.fields[0].layers, ElementsAre(3));
  EXPECT_THAT(plan.fields[0].heads, ElementsAre(0, 2));
  EXPECT_EQ(plan.fields[0].width.words(10), 20);

  mask.row_layers.clear();
  mask.row_heads.clear();
  const ProbePlan all = compile(mask, mixed_model());
  EXPECT_THAT(all.fields[0].layers, ElementsAre(1, 3));
  EXPECT_THAT(all.fields[0].heads, ElementsAre(0, 1, 2));

  mask.row_layers = {0};
  EXPECT_TRUE(compile(mask, mixed_model()).empty());
}

TEST(TapSchedule, ChangesOnlyWhereItSaysSo) {
  TapSchedule schedule;
  schedule.level = Level::kLight;
  schedule.spans = {{.begin = 10, .end = 20, .level = Level::kFull},
                    {.begin = 15, .end = 30, .level = Level::kStandard}};
  schedule.pinned_steps = 5;
  EXPECT_EQ(schedule.next_change(0), 5);
  EXPECT_EQ(schedule.next_change(5), 10);
  EXPECT_EQ(schedule.next_change(10), 15);
  EXPECT_EQ(schedule.next_change(20), 30);
  EXPECT_EQ(schedule.next_change(30), INT64_MAX);
  const Probe* row = find_probe("attention.row");
  const Probe* mass = find_probe("attention.mass");
  EXPECT_TRUE(schedule.mask_at(4).probes.contains(row));
  EXPECT_FALSE(schedule.mask_at(4).probes.contains(mass));
  EXPECT_FALSE(schedule.mask_at(5).probes.contains(row));
  EXPECT_TRUE(schedule.mask_at(16).probes.contains(row));
  EXPECT_FALSE(schedule.mask_at(20).probes.contains(row));
  EXPECT_TRUE(schedule.mask_at(20).probes.contains(mass));
  for (int64_t step = 0; step < 40; ++step) {
    for (int64_t later = step; later < std::min<int64_t>(schedule.next_change(step), 40); ++later) {
      EXPECT_EQ(schedule.mask_at(step), schedule.mask_at(later)) << step << " " << later;
    }
  }
  schedule.recording = false;
  EXPECT_TRUE(schedule.mask_at(16).probes.empty());
}

}  // namespace
}  // namespace orrery
