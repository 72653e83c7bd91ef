#include "probes/probe.h"

#include <gmock/gmock.h>

#include <set>

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
  EXPECT_EQ(names.size(), 17u);
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
    EXPECT_EQ(probe->fields.size(), probe->has_axis(Axis::kField) ? 2u : probe->has_axis(Axis::kComponent) ? 4u : 0u);
  }
}

TEST(Probes, ListOnlyTheLayersThatHaveTheQuantity) {
  const ModelConfig config = mixed_model();
  EXPECT_THAT(find_probe("attention.entropy")->layers(config), ElementsAre(1, 3));
  EXPECT_THAT(find_probe("cache.entries")->layers(config), ElementsAre(1, 3));
  EXPECT_THAT(find_probe("residual.norm")->layers(config), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(find_probe("cache.bytes")->layers(config), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(find_probe("output.top")->layers(config), IsEmpty());
}

TEST(Probes, AModelWithoutAttentionOffersNoneOfItsProbes) {
  ModelConfig config = mixed_model();
  config.layers = {config.layers[0], config.layers[2]};
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
  EXPECT_EQ(full.probes.size(), all_probes().size());
  for (const Probe* probe : light.probes) EXPECT_TRUE(standard.probes.contains(probe));
  for (const Level level : {Level::kLight, Level::kStandard, Level::kFull}) {
    EXPECT_EQ(parse_level(level_name(level)), level);
  }
  EXPECT_FALSE(parse_level("everything").has_value());
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
