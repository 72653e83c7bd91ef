// The block map of the cache view.
#include "views/cache_blocks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

// Two layers, two heads; the second layer has a window of 100. mass: (1 + layer + head) / 8 in block b % 2.
FrameHistory blocks_history(int64_t n, int64_t missing_step = -1) {
  FrameHistory history;
  history.reset(SampleRun{.n_layers = 2, .n_heads = 2}.info());
  for (int64_t step = 0; step < n; ++step) {
    Token token = SampleRun{.n_prompt = 70}.token(step);
    history.add_token(token);
    if (step == missing_step) continue;
    const auto gone = static_cast<int32_t>(std::max<int64_t>(step + 1 - 100, 0));
    history.add_frame(make_frame_i64("cache.bytes", step, {0, 1}, {4}, {512, 0, 0, 0, 512, 0, 0, 0}));
    history.add_frame(make_frame_i32("cache.entries", step, {0, 1}, {},
                                     {static_cast<int32_t>(step + 1), static_cast<int32_t>(step + 1) - gone}));
    history.add_frame(make_frame_i32("cache.evicted", step, {0, 1}, {}, {0, gone}));
    std::vector<float> mass;
    const int64_t n_blocks = step / 64 + 1;
    for (int layer = 0; layer < 2; ++layer) {
      for (int head = 0; head < 2; ++head) {
        for (int64_t block = 0; block < n_blocks; ++block) {
          mass.push_back(static_cast<float>(1 + layer + head) / 8 * static_cast<float>(1 + block % 2));
        }
      }
    }
    history.add_frame(make_frame("attention.mass", step, {0, 1}, {2, n_blocks}, mass));
  }
  return history;
}

TEST(CacheBlocks, TellAgeAndWhatIsGone) {
  const CacheBlocks blocks = cache_blocks(blocks_history(300), 199);
  EXPECT_EQ(blocks.n_blocks, 4);
  EXPECT_EQ(blocks.layers, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(blocks.age[0], 199 - 63);
  EXPECT_EQ(blocks.age[2], 199 - 191);
  EXPECT_EQ(blocks.age[3], 0) << "the block that is being written";
  EXPECT_EQ(blocks.gone[1], 100);
  EXPECT_TRUE(blocks.is_gone(1, 0));
  EXPECT_TRUE(std::isnan(blocks.age[4]));
  EXPECT_FALSE(blocks.is_gone(1, 1)) << "a part of it is held";
  EXPECT_EQ(blocks.age[5], 199 - 127);
}

TEST(CacheBlocks, AddUpTheMassOfTheNewestSteps) {
  const CacheBlocks blocks = cache_blocks(blocks_history(300, 190), 199);
  EXPECT_EQ(blocks.received_steps, (StepRange{136, 200}));
  EXPECT_EQ(blocks.n_received, 63) << "one is not recorded";
  EXPECT_NEAR(blocks.received[0], 63 * 1.5 / 8, 1e-4) << "the mean of two heads";
  EXPECT_NEAR(blocks.received[1], 63 * 3.0 / 8, 1e-4);
  EXPECT_NEAR(blocks.received[4 + 2], 63 * 2.5 / 8, 1e-4);
  EXPECT_NEAR(blocks.received[3], 8 * 3.0 / 8, 1e-4) << "the fourth block is there from step 192 on";
  const CacheBlocks none = cache_blocks(blocks_history(300, 199), 199);
  EXPECT_EQ(none.gone[0], -1);
  EXPECT_TRUE(std::isnan(none.age[0])) << "not recorded at this step";
}

TEST(CacheBlocks, BelongToSegments) {
  const FrameHistory history = blocks_history(200);
  const std::vector<SegmentRun> runs = segment_runs(history.tokens(), 200);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].segment, Segment::kUser);
  EXPECT_EQ(runs[0].end, 70);
  EXPECT_EQ(runs[1].end, 200);
  const std::vector<BlockOwner> owners = block_owners(history.tokens(), 200);
  ASSERT_EQ(owners.size(), 4u);
  EXPECT_EQ(owners[0].n_tokens, 64);
  EXPECT_EQ(owners[1].segment, Segment::kGenerated) << "58 of 64";
  EXPECT_EQ(owners[1].n_tokens, 58);
  EXPECT_EQ(owners[3].n_tokens, 8);
}

TEST(CacheView, DrawsTheBlockMap) {
  const FrameHistory history = blocks_history(300);
  const json scene = draw_json("cache", history, at(199), {1280, 800});
  const CacheBlocks blocks = cache_blocks(history, 199);
  const json age = named(scene["tiles"], "age"), received = named(scene["tiles"], "received attention");
  for (size_t row = 0; row < 2; ++row) {
    for (size_t block = 0; block < 4; ++block) {
      if (row == 1 && block == 0) {
        EXPECT_TRUE(age["cells"][row][block].is_null());
        EXPECT_TRUE(received["cells"][row][block].is_null()) << "gone, though it was read lately";
      } else {
        EXPECT_FLOAT_EQ(received["cells"][row][block].get<float>(), blocks.received[row * 4 + block]);
        EXPECT_EQ(age["cells"][row][block].get<float>(), blocks.age[row * 4 + block]);
      }
    }
  }
  EXPECT_NE(scene["notes"].dump().find("have left the window"), std::string::npos);
  EXPECT_EQ(named(scene["series"], "owner by block")["labels"][0], "user");
  EXPECT_TRUE(says(scene, "attention received, mean of heads, sum of steps 136–199"));
  EXPECT_TRUE(scene["missing"].empty());
  // Without attention.mass, or at a step that is not recorded, nothing is invented.
  FrameHistory light;
  light.reset(history.info());
  for (int64_t step = 0; step < 130; ++step) {
    light.add_token(SampleRun{}.token(step));
    light.add_frame(make_frame_i64("cache.bytes", step, {0, 1}, {4}, {512, 0, 0, 0, 512, 0, 0, 0}));
    light.add_frame(make_frame_i32("cache.evicted", step, {0, 1}, {}, {0, 0}));
  }
  const json poor = draw_json("cache", light, at(129), {1280, 800});
  EXPECT_TRUE(says(poor, "attention received: not recorded"));
  EXPECT_TRUE(named(poor["tiles"], "received attention")["cells"][0][0].is_null());
  EXPECT_EQ(poor["missing"].size(), 2u) << "a hatch for each layer";
  EXPECT_EQ(named(poor["tiles"], "age")["cells"][1][0], 129.0 - 63);
}

// What is fetched of block mass, 1 MB a step where a run is long, is what is drawn.
TEST(CacheView, WantsTheBlockMassThatItAddsUpAndNoMore) {
  const auto wanted_mass = [](const FrameHistory& history, int64_t step) {
    for (const Wanted& wanted : (*find_view("cache"))->wanted(history, at(step))) {
      if (wanted.probe->name == "attention.mass") return StepRange{wanted.begin, wanted.end};
    }
    return StepRange{};
  };
  FrameHistory history = blocks_history(300);
  EXPECT_EQ(wanted_mass(history, 199), (StepRange{136, 200}));
  EXPECT_EQ(cache_blocks(history, 199).received_steps, (StepRange{136, 200}));
  RunInfo info = history.info();
  for (LayerConfig& layer : info.config.layers) layer.attention.n_heads = 128;
  history.reset(info);
  for (int64_t step = 0; step < 32768; ++step) history.add_token({.step = step, .id = 1, .bytes = {}});
  const StepRange few = wanted_mass(history, 32767);
  EXPECT_EQ(few, cache_blocks(history, 32767).received_steps);
  EXPECT_EQ(few, (StepRange{32768 - 16, 32768}))
      << "2 layers x 128 heads x 512 blocks of so many steps are 2 M numbers";
}

TEST(CacheView, AClickOnABlockSelectsLayerAndKey) {
  const FrameHistory history = blocks_history(300);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("cache"))->scene({history, at(199), {1280, 800}, metrics});
  bool found = false;
  for (const HitRegion& region : scene.regions) {
    if (region.tile_item < 0) continue;
    const Point p{region.rect.x + region.rect.width * 0.3f, region.rect.bottom() - 1};
    const auto hit = hit_test(scene, p);
    const Select select = std::get<Select>(*hit->click);
    found = true;
    EXPECT_EQ(select.layer, 1);
    EXPECT_EQ(select.key.value_or(-1) / 64, 1);
    EXPECT_NE(hit->tooltip.find("key 64–127"), std::string::npos) << hit->tooltip;
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace orrery
