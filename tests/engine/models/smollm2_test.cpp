// SmolLM2-135M-Instruct (Q4_1 with a Q8_0 embedding), a real model, against llama.cpp and transformers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "tests/engine/models/golden_check.h"
#include "tests/engine/models/real_model.h"

namespace orrery::testing {
namespace {

class SmolLM2 : public RealModelTest {
 protected:
  SmolLM2() : RealModelTest("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2") {}
};

TEST_F(SmolLM2, ChoosesWhatLlamaCppChooses) {
  Choices choices;
  ASSERT_NO_FATAL_FAILURE(compare_choices(golden("greedy.json")["runs"], choices));
  RecordProperty("different", choices.n_different);
  std::cout << choices.n_different << " of " << choices.n_steps << " steps choose otherwise, "
            << choices.n_different_decided << " of them where the references agree\n";
  EXPECT_EQ(choices.n_steps, 320);
  EXPECT_EQ(choices.n_different_decided, 0);
  EXPECT_LE(choices.n_different, 4);  // as many as float32 itself
}

TEST_F(SmolLM2, LikelihoodOfALongTextIsWithinOnePercent) { expect_likelihood(); }

TEST_F(SmolLM2, AttentionRowsMatchTransformers) {
  const auto tokens = read_npy<int32_t>(asset("goldens/smollm2/attention_tokens.npy")).values;
  const auto layers = read_npy<int32_t>(asset("goldens/smollm2/attention_layers.npy")).values;
  const auto expected = read_npy<float>(asset("goldens/smollm2/attention_row.npy"));
  const auto norms = read_npy<float>(asset("goldens/smollm2/residual_norm.npy"));
  const Measured measured = measure(model_, tokens, static_cast<int64_t>(tokens.size()));
  const auto n = tokens.size();
  const auto n_heads = expected.shape[2];
  const auto n_layers = static_cast<size_t>(model_->config().n_layers());
  double largest = 0, largest_norm = 0;
  for (size_t t = 0; t < n; ++t) {
    for (size_t l = 0; l < layers.size(); ++l) {
      for (size_t h = 0; h < n_heads; ++h) {
        for (size_t s = 0; s < n; ++s) {
          const size_t at = ((t * n_layers + static_cast<size_t>(layers[l])) * n_heads + h) * n + s;
          largest = std::max(largest, std::abs(double{measured.attention_row[at]} - expected.at(t, l, h, s)));
        }
      }
    }
    for (size_t l = 0; l < n_layers; ++l) {
      largest_norm = std::max(largest_norm, std::abs(measured.residual_norm[t * n_layers + l] / norms.at(t, l) - 1.0));
    }
  }
  std::cout << "attention rows differ by at most " << largest << ", residual norms by " << largest_norm << "\n";
  EXPECT_LE(largest, 5e-4);
  EXPECT_LE(largest_norm, 1e-3);
}

TEST_F(SmolLM2, IsBitIdenticalForAnyNumberOfThreadsAndWithProbes) {
  const auto tokens = read_npy<int32_t>(asset("goldens/smollm2/attention_tokens.npy")).values;
  const auto logits_with = [&](int n_threads, bool with_probes, int64_t batch) {
    const auto model = load_model(model_->file().path(), n_threads);
    return measure(model, tokens, batch, with_probes).logits;
  };
  const auto expected = logits_with(2, false, 24);
  EXPECT_EQ(expected, logits_with(1, false, 24));
  EXPECT_EQ(expected, logits_with(3, true, 24));
  EXPECT_EQ(expected, logits_with(2, true, 1));
}

}  // namespace
}  // namespace orrery::testing
