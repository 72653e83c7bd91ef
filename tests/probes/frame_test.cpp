#include "probes/frame.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "probes/tap_mask.h"
#include "tests/probes/make_model.h"

namespace orrery {
namespace {

using testing::attention_layer;
using ::testing::ElementsAre;
using testing::mixed_model;

const Frame& frame_of(const std::vector<Frame>& frames, std::string_view name) {
  for (const Frame& frame : frames) {
    if (frame.probe->name == name) return frame;
  }
  ADD_FAILURE() << "no frame of " << name;
  return frames.front();
}

// Fills a field's rows with row * 1000 + layer * 100 + position.
void fill(ProbeBuffer& buffer, Quantity quantity, int64_t n_words) {
  const ProbeField& field = *buffer.field(quantity);
  const std::vector<int32_t> layers = field.layers.empty() ? std::vector<int32_t>{0} : field.layers;
  for (const int32_t layer : layers) {
    const StatSlot slot = buffer.slot(quantity, layer);
    for (int64_t row = 0; row < buffer.n_rows(); ++row) {
      for (int64_t i = 0; i < n_words; ++i) {
        slot.row(row)[i] = static_cast<float>(row * 1000 + layer * 100 + i);
      }
    }
  }
}

// What rounding makes alike stands in the order of ties, and padding behind everything.
TEST(CutFrames, RoundsWeightsAndKeepsListsInOrder) {
  const ModelConfig config = mixed_model();
  const ProbePlan plan = compile(TapMask::of(Level::kStandard), config);
  ProbeBuffer buffer(make_cpu_backend(1));
  ASSERT_TRUE(buffer.prepare(plan, 1, 70));
  const std::array<float, 12> list{40, 0.5f, 30, 0.3f + 2e-8f, 20, 0.3f + 1e-8f, 10, 0.3f, 7, 1e-9f, -1, 0};
  float* const top = buffer.slot(Quantity::kAttentionTop, 1).row(0);
  std::ranges::copy(list, top);
  buffer.slot(Quantity::kAttentionMass, 1).row(0)[0] = 0.1f;
  buffer.slot(Quantity::kAttentionRest, 1).row(0)[0] = 0.1f;
  const std::vector<Frame> frames = cut_frames(buffer, config, 7, 69);
  const float third = std::round(std::ldexp(0.3f, 20)) / (1 << 20);
  EXPECT_THAT(frame_of(frames, "attention.top").values<float>().subspan(0, 12),
              ElementsAre(40, 0.5f, 10, third, 20, third, 30, third, 7, 0, -1, 0));
  EXPECT_EQ(frame_of(frames, "attention.mass").values<float>()[0], std::round(std::ldexp(0.1f, 20)) / (1 << 20));
  EXPECT_EQ(frame_of(frames, "attention.rest").values<float>()[0], 0.1f) << "as computed";
}

TEST(CutFrames, GivesEveryProbeItsValuesByStepAndLayer) {
  const ModelConfig config = mixed_model();
  const ProbePlan plan = compile(TapMask::of(Level::kFull), config);
  ProbeBuffer buffer(make_cpu_backend(1));
  ASSERT_TRUE(buffer.prepare(plan, 3, 70));
  fill(buffer, Quantity::kAttentionEntropy, 3);
  fill(buffer, Quantity::kResidualNorm, 1);
  fill(buffer, Quantity::kAttentionRow, 3 * 70);
  fill(buffer, Quantity::kOutputTail, 1);
  const StatSlot bytes = buffer.slot(Quantity::kCacheBytes, 2);
  reinterpret_cast<int64_t*>(bytes.row(1))[3] = int64_t{1} << 40;

  const std::vector<Frame> frames = cut_frames(buffer, config, 7, 67);
  ASSERT_EQ(frames.size(), plan.fields.size());
  for (const Frame& frame : frames) {
    EXPECT_EQ(frame.run, 7);
    EXPECT_EQ(frame.step_begin, 67);
    EXPECT_EQ(frame.step_end, 70);
    EXPECT_EQ(frame.origin, Origin::kLive);
    EXPECT_EQ(frame.shape.size(), frame.probe->axes.size()) << frame.probe->name;
    EXPECT_EQ(frame.payload_bytes, static_cast<size_t>(frame.n_values()) * (frame.probe->dtype == DType::kI64 ? 8 : 4));
    EXPECT_EQ(frame.payload.owner_before(frames.front().payload), false);
    EXPECT_EQ(frames.front().payload.owner_before(frame.payload), false) << "one copy is shared by all frames";
  }
  const Frame& entropy = frame_of(frames, "attention.entropy");
  EXPECT_THAT(entropy.shape, ElementsAre(3, 2, 3));
  EXPECT_THAT(entropy.layers, ElementsAre(1, 3));
  EXPECT_THAT(entropy.step_values<float>(69), ElementsAre(2100, 2101, 2102, 2300, 2301, 2302));
  EXPECT_EQ(entropy.layer_index(3), 1);
  EXPECT_EQ(entropy.layer_index(2), -1);
  EXPECT_THAT(frame_of(frames, "residual.norm").step_values<float>(68), ElementsAre(1000, 1100, 1200, 1300));
  EXPECT_THAT(frame_of(frames, "output.tail").values<float>(), ElementsAre(0, 1000, 2000));
  EXPECT_THAT(frame_of(frames, "output.top").shape, ElementsAre(3, 64, 2));
  EXPECT_THAT(frame_of(frames, "attention.mass").shape, ElementsAre(3, 2, 3, 2));
  EXPECT_THAT(frame_of(frames, "attention.top").shape, ElementsAre(3, 2, 3, 32, 2));
  EXPECT_THAT(frame_of(frames, "lens.top").shape, ElementsAre(3, 4, 8, 2));
  EXPECT_EQ(frame_of(frames, "cache.bytes").step_values<int64_t>(68)[2 * 4 + 3], int64_t{1} << 40);
  const Frame& row = frame_of(frames, "attention.row");
  EXPECT_THAT(row.shape, ElementsAre(3, 2, 3, 70));
  EXPECT_EQ(row.step_values<float>(68)[3 * 70 + 5], 1305);
}

TEST(CutFrames, DropsKeysThatNoStepSees) {
  const ModelConfig config = mixed_model();
  TapMask mask;
  mask.probes = {find_probe("attention.row"), find_probe("attention.mass")};
  mask.row_heads = {0, 2};
  const ProbePlan plan = compile(mask, config);
  ProbeBuffer buffer(make_cpu_backend(1));
  ASSERT_TRUE(buffer.prepare(plan, 2, 100));
  fill(buffer, Quantity::kAttentionRow, 2 * 100);
  fill(buffer, Quantity::kAttentionMass, 3 * 2);
  const std::vector<Frame> frames = cut_frames(buffer, config, 1, 3);
  const Frame& row = frame_of(frames, "attention.row");
  EXPECT_THAT(row.shape, ElementsAre(2, 2, 2, 5));
  EXPECT_THAT(row.heads, ElementsAre(0, 2));
  EXPECT_THAT(row.step_values<float>(4).subspan(10, 10),
              ElementsAre(1300, 1301, 1302, 1303, 1304, 1400, 1401, 1402, 1403, 1404));
  const Frame& mass = frame_of(frames, "attention.mass");
  EXPECT_THAT(mass.shape, ElementsAre(2, 2, 3, 1));
  EXPECT_THAT(mass.step_values<float>(3), ElementsAre(100, 102, 104, 300, 302, 304));
}

TEST(CutFrames, PadsLayersThatHaveFewerHeads) {
  ModelConfig config = mixed_model();
  config.layers[1] = attention_layer(1);
  TapMask mask;
  for (const char* name : {"attention.row", "attention.entropy", "attention.top"}) mask.probes.insert(find_probe(name));
  const ProbePlan plan = compile(mask, config);
  ProbeBuffer buffer(make_cpu_backend(1));
  ASSERT_TRUE(buffer.prepare(plan, 1, 2));
  fill(buffer, Quantity::kAttentionRow, 3 * 2);
  fill(buffer, Quantity::kAttentionEntropy, 3);
  fill(buffer, Quantity::kAttentionTop, 3 * 64);
  const std::vector<Frame> frames = cut_frames(buffer, config, 1, 1);
  EXPECT_THAT(frame_of(frames, "attention.row").values<float>(),
              ElementsAre(100, 101, 0, 0, 0, 0, 300, 301, 302, 303, 304, 305));
  const std::span<const float> entropy = frame_of(frames, "attention.entropy").values<float>();
  EXPECT_EQ(entropy[0], 100);
  EXPECT_TRUE(std::isnan(entropy[1]));
  EXPECT_TRUE(std::isnan(entropy[2]));
  EXPECT_EQ(entropy[5], 302);
  const std::span<const float> top = frame_of(frames, "attention.top").values<float>();
  EXPECT_EQ(top[63], 163);
  EXPECT_EQ(top[64], -1);
  EXPECT_EQ(top[65], 0);
  EXPECT_EQ(top[190], -1);
  EXPECT_EQ(top[192], 300);
}

TEST(CutFrames, PadsLayersThatHaveFewerStateHeadsTapsAndExperts) {
  const ModelConfig config = mixed_model();
  TapMask mask;
  for (const char* name : {"state.norm", "state.keep", "state.row", "conv.taps", "moe.experts", "moe.weights"}) {
    mask.probes.insert(find_probe(name));
  }
  mask.row_heads = {1, 3};
  const ProbePlan plan = compile(mask, config);
  ProbeBuffer buffer(make_cpu_backend(1));
  ASSERT_TRUE(buffer.prepare(plan, 2, 2));
  fill(buffer, Quantity::kStateNorm, 5);
  fill(buffer, Quantity::kStateKeep, 15);
  fill(buffer, Quantity::kStateRow, 4);
  fill(buffer, Quantity::kConvTaps, 4);
  fill(buffer, Quantity::kMoeWeights, 3);
  for (const int32_t layer : {2, 3}) {
    const StatSlot slot = buffer.slot(Quantity::kMoeExperts, layer);
    for (int64_t row = 0; row < 2; ++row) {
      const std::array<int32_t, 3> ids{5, static_cast<int32_t>(row), 2};
      std::memcpy(slot.row(row), ids.data(), sizeof(ids));
    }
  }
  const std::vector<Frame> frames = cut_frames(buffer, config, 1, 0);
  const auto missing = ::testing::IsNan();
  EXPECT_THAT(frame_of(frames, "state.norm").step_values<float>(1),
              ElementsAre(1200, 1201, 1202, 1203, 1204, 1300, 1301, missing, missing, missing));
  const Frame& keep = frame_of(frames, "state.keep");
  EXPECT_THAT(keep.shape, ElementsAre(2, 2, 5, 3));
  EXPECT_THAT(keep.step_values<float>(0).subspan(19, 3), ElementsAre(304, 305, missing));
  EXPECT_THAT(frame_of(frames, "state.row").step_values<float>(1),
              ElementsAre(1200, 1201, 1202, 1203, 1300, 1301, 0, 0))
      << "layer 3 has head 1, not 3";
  EXPECT_THAT(frame_of(frames, "conv.taps").step_values<float>(0), ElementsAre(0, 1, 2, missing, 200, 201, 202, 203));
  EXPECT_THAT(frame_of(frames, "moe.experts").step_values<int32_t>(1), ElementsAre(5, 1, 2, 5, 1, -1));
  EXPECT_THAT(frame_of(frames, "moe.weights").step_values<float>(0), ElementsAre(200, 201, 202, 300, 301, missing));
}

TEST(CutFrames, AnEmptyPlanGivesNoFrames) {
  const ModelConfig config = mixed_model();
  const ProbePlan plan;
  ProbeBuffer buffer(make_cpu_backend(1));
  EXPECT_TRUE(cut_frames(buffer, config, 1, 0).empty());
  ASSERT_TRUE(buffer.prepare(plan, 4, 4));
  EXPECT_TRUE(cut_frames(buffer, config, 1, 0).empty());
}

}  // namespace
}  // namespace orrery
