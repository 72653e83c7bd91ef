// SmolLM2-135M-Instruct (Q4_1 with a Q8_0 embedding), a real model, against llama.cpp and transformers. The model is
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

class SmolLM2 : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("ORRERY_MODELS_DIR");
    const std::filesystem::path path =
        std::filesystem::path(folder == nullptr ? "" : folder) / "SmolLM2-135M-Instruct.Q4_1.gguf";
    if (folder == nullptr || !std::filesystem::exists(path)) {
      GTEST_SKIP() << "SmolLM2-135M-Instruct.Q4_1.gguf is not in ORRERY_MODELS_DIR";
    }
    model_ = load_model(path);
    ASSERT_NE(model_, nullptr);
  }

  static nlohmann::json golden(const char* name) {
    return nlohmann::json::parse(std::ifstream(asset("goldens/smollm2") / name));
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

// The ids that llama.cpp chose are forced; at each step our likeliest id must be the same, but where its own two best
// are within 1 %, or where its batches, its steps and float32 do not agree among themselves.
TEST_F(SmolLM2, ChoosesWhatLlamaCppChooses) {
  int n_steps = 0, n_different = 0, n_different_decided = 0;
  const auto reference = golden("greedy.json");
  for (const auto& run : reference["runs"]) {
    Generator generator(model_, DType::kF16);
    auto logits = generator.feed(run["prompt_ids"].get<std::vector<int32_t>>(), {}, LogitsWanted::kLast);
    const auto ids = run["ids"].get<std::vector<int32_t>>();
    for (size_t step = 0; step < ids.size(); ++step, ++n_steps) {
      ASSERT_TRUE(logits.has_value());
      const auto& top = run["top"][step];
      const bool near_tie = top[0][1].get<double>() < 1.01 * top[1][1].get<double>();
      if (likeliest(*logits) != ids[step] && !near_tie) {
        ++n_different;
        n_different_decided += run["decided"][step].get<int>();
      }
      const int32_t forced[] = {ids[step]};
      logits = generator.feed(forced, {}, LogitsWanted::kLast);
    }
  }
  RecordProperty("different", n_different);
  std::cout << n_different << " of " << n_steps << " steps choose otherwise, " << n_different_decided
            << " of them where the references agree\n";
  EXPECT_EQ(n_steps, 320);
  EXPECT_EQ(n_different_decided, 0);
  EXPECT_LE(n_different, 4);  // as many as float32 itself
}

TEST_F(SmolLM2, LikelihoodOfALongTextIsWithinOnePercent) {
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
