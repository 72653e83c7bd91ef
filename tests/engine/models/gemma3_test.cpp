// Gemma-3-270M (Q4_K, Q5_0, Q6_K, Q8_0), a real model with windows, against llama.cpp and transformers. The model is
// not kept here: ORRERY_MODELS_DIR names the folder that holds it, and without it these tests skip themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

constexpr const char* kFile = "gemma-3-270m-q4_k_m.gguf";

class Gemma3 : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("ORRERY_MODELS_DIR");
    const std::filesystem::path path = std::filesystem::path(folder == nullptr ? "" : folder) / kFile;
    if (folder == nullptr || !std::filesystem::exists(path)) GTEST_SKIP() << kFile << " is not in ORRERY_MODELS_DIR";
    model_ = load_model(path);
    ASSERT_NE(model_, nullptr);
  }

  static nlohmann::json golden(const char* name) {
    return nlohmann::json::parse(std::ifstream(asset("goldens/gemma3-270m") / name));
  }

  std::shared_ptr<const Model> model_;
};

int32_t likeliest(Matrix<const float> logits) {
  const auto row = logits.row_span(logits.n_rows - 1);
  return static_cast<int32_t>(std::ranges::max_element(row) - row.begin());
}

double nats(std::span<const float> logits, int32_t id) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - largest);
  return largest + std::log(sum) - double{logits[static_cast<size_t>(id)]};
}

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

// The ids that llama.cpp chose are forced; at each step our likeliest id must be the same, but where its own two best
// are within 1 %, or where its batches, its steps and float32 do not agree among themselves. The last prompt is longer
// than the window.
TEST_F(Gemma3, SlowChoosesWhatLlamaCppChooses) {
  int n_steps = 0, n_different = 0, n_different_decided = 0, n_float32 = 0;
  size_t longest = 0;
  const auto reference = golden("greedy.json");
  for (const auto& run : reference["runs"]) {
    Generator generator(model_, DType::kF16);
    const auto prompt = run["prompt_ids"].get<std::vector<int32_t>>();
    longest = std::max(longest, prompt.size());
    auto logits = generator.feed(prompt, {}, LogitsWanted::kLast);
    const auto ids = run["ids"].get<std::vector<int32_t>>();
    for (size_t step = 0; step < ids.size(); ++step, ++n_steps) {
      ASSERT_TRUE(logits.has_value());
      const auto& top = run["top"][step];
      const bool near_tie = top[0][1].get<double>() < 1.01 * top[1][1].get<double>();
      n_float32 += run["float32_top"][step][0][0].get<int32_t>() != ids[step];
      if (likeliest(*logits) != ids[step] && !near_tie) {
        ++n_different;
        n_different_decided += run["decided"][step].get<int>();
      }
      const int32_t forced[] = {ids[step]};
      logits = generator.feed(forced, {}, LogitsWanted::kLast);
    }
  }
  std::cout << n_different << " of " << n_steps << " steps choose otherwise, " << n_different_decided
            << " of them where the references agree; float32 at " << n_float32 << "\n";
  EXPECT_GT(longest, 512U);
  EXPECT_EQ(n_steps, 320);
  EXPECT_EQ(n_different_decided, 0);
  EXPECT_LE(n_different, n_float32);
}

TEST_F(Gemma3, SlowLikelihoodOfALongTextIsWithinOnePercent) {
  const auto reference = golden("nll.json");
  const auto ids = reference["ids"].get<std::vector<int32_t>>();
  Generator generator(model_, DType::kF16);
  double total = 0;
  constexpr size_t kRows = 128;
  for (size_t at = 0; at < ids.size(); at += kRows) {
    const size_t n = std::min(kRows, ids.size() - at);
    const auto logits = generator.feed(std::span(ids).subspan(at, n), {}, LogitsWanted::kAll);
    ASSERT_TRUE(logits.has_value());
    for (size_t r = 0; r < n && at + r + 1 < ids.size(); ++r) {
      total += nats(logits->row_span(static_cast<int64_t>(r)), ids[at + r + 1]);
    }
  }
  const double mean = total / static_cast<double>(ids.size() - 1);
  const double expected = reference["mean_nats"]["llama_cpp_f16"];
  std::cout << mean << " nats a token; llama.cpp " << expected << ", float32 " << reference["mean_nats"]["float32"]
            << "\n";
  EXPECT_NEAR(mean, expected, 0.01 * expected);
}

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
      const StatSlot slot = generator.probes().slot(Quantity::kCacheBytes, layer);
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
