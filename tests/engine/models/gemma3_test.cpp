// Gemma-3-270M (Q4_K, Q5_0, Q6_K, Q8_0), a real model with windows, against llama.cpp and transformers.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "tests/engine/models/golden_check.h"
#include "tests/engine/models/real_model.h"

namespace orrery::testing {
namespace {

class Gemma3 : public RealModelTest {
 protected:
  Gemma3() : RealModelTest("gemma-3-270m-q4_k_m.gguf", "gemma3-270m") {}
};

TEST_F(Gemma3, EverySixthLayerIsFullTheOthersHaveAWindowOf512) {
  const ModelConfig& config = model_->config();
  ASSERT_EQ(config.n_layers(), 18);
  for (int32_t layer = 0; layer < 18; ++layer) {
    const AttentionConfig& attention = config.layers[static_cast<size_t>(layer)].attention;
    EXPECT_EQ(attention.window, layer % 6 == 5 ? 0 : 512) << layer;
    EXPECT_EQ(attention.rope.pairing, RopePairing::kHalfSplit);
  }
  EXPECT_EQ(layer_label(config, 7), "7 attention, window 512");
}

// The last prompt is longer than the window.
TEST_F(Gemma3, SlowChoosesWhatLlamaCppChooses) {
  const auto reference = golden("greedy.json");
  size_t longest = 0;
  int n_float32 = 0;  // where float32 chooses otherwise
  for (const auto& run : reference["runs"]) {
    longest = std::max(longest, run["prompt_ids"].size());
    for (size_t step = 0; step < run["ids"].size(); ++step) {
      n_float32 += run["float32_top"][step][0][0].get<int32_t>() != run["ids"][step].get<int32_t>();
    }
  }
  Choices choices;
  ASSERT_NO_FATAL_FAILURE(compare_choices(reference["runs"], choices));
  std::cout << choices.n_different << " of " << choices.n_steps << " steps choose otherwise, "
            << choices.n_different_decided << " of them where the references agree; float32 at " << n_float32 << "\n";
  EXPECT_GT(longest, 512U);
  EXPECT_EQ(choices.n_steps, 320);
  EXPECT_EQ(choices.n_different_decided, 0);
  EXPECT_LE(choices.n_different, n_float32);
}

TEST_F(Gemma3, SlowLikelihoodOfALongTextIsWithinOnePercent) { expect_likelihood(); }

TEST_F(Gemma3, WindowedLayersStopGrowingAt512Tokens) {
  const auto ids = golden("nll.json")["ids"].get<std::vector<int32_t>>();
  ProbePlan plan;
  std::vector<int32_t> layers(18);
  for (int32_t i = 0; i < 18; ++i) layers[static_cast<size_t>(i)] = i;
  plan.fields.push_back({.quantity = Quantity::kCacheBytes, .layers = layers, .heads = {}, .width = {.fixed = 8}});
  Generator generator(model_, DType::kF16);
  constexpr int64_t kTokenBytes = int64_t{2} * 256 * 2;
  for (size_t at = 0; at < 900; at += 100) {
    ASSERT_TRUE(generator.feed(std::span(ids).subspan(at, 100), plan, LogitsWanted::kNone));
    for (int32_t layer = 0; layer < 18; ++layer) {
      const StatSlot slot = generator.probes().host_slot(Quantity::kCacheBytes, layer);
      for (int64_t row = 0; row < 100; ++row) {
        const auto* bytes = reinterpret_cast<const int64_t*>(slot.row(row));
        const int64_t length = static_cast<int64_t>(at) + row + 1;
        ASSERT_EQ(bytes[0], kTokenBytes * (layer % 6 == 5 ? length : std::min<int64_t>(length, 512)));
      }
    }
  }
}

}  // namespace
}  // namespace orrery::testing
