#include "tests/engine/models/real_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <vector>

#include "engine/generator.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {

namespace {

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

}  // namespace

void RealModelTest::SetUp() {
  const char* folder = std::getenv("ORRERY_MODELS_DIR");
  const std::filesystem::path path = std::filesystem::path(folder == nullptr ? "" : folder) / file_;
  if (folder == nullptr || !std::filesystem::exists(path)) GTEST_SKIP() << file_ << " is not in ORRERY_MODELS_DIR";
  model_ = load_model(path);
  ASSERT_NE(model_, nullptr);
}

nlohmann::json RealModelTest::golden(const std::string& name) const {
  return nlohmann::json::parse(std::ifstream(asset("goldens/" + goldens_) / name));
}

void RealModelTest::compare_choices(const nlohmann::json& runs, Choices& choices) const {
  for (const auto& run : runs) {
    Generator generator(model_, DType::kF16);
    auto logits = generator.feed(run["prompt_ids"].get<std::vector<int32_t>>(), {}, LogitsWanted::kLast);
    const auto ids = run["ids"].get<std::vector<int32_t>>();
    for (size_t step = 0; step < ids.size(); ++step, ++choices.n_steps) {
      ASSERT_TRUE(logits.has_value());
      const auto& top = run["top"][step];
      const bool near_tie = top[0][1].get<double>() < 1.01 * top[1][1].get<double>();
      if (likeliest(*logits) != ids[step] && !near_tie) {
        ++choices.n_different;
        choices.n_different_decided += run["decided"][step].get<int>();
      }
      const int32_t forced[] = {ids[step]};
      logits = generator.feed(forced, {}, LogitsWanted::kLast);
    }
  }
}

void RealModelTest::expect_likelihood() const {
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

}  // namespace orrery::testing
