#include "tests/engine/models/golden_check.h"

#include <algorithm>
#include <cmath>

namespace orrery::testing {

namespace {

constexpr int64_t kTop = 64;
constexpr int64_t kLensTop = 8;

// Appends the rows of a field to `out`, widening the key axis of attention.row to n_total keys.
void append(const ProbeBuffer& probes, Quantity quantity, std::vector<float>& out, int64_t n_total = 0) {
  for (size_t i = 0; i < probes.n_fields(); ++i) {
    if (probes.plan()->fields[i].quantity != quantity) continue;
    const auto bytes = probes.field_bytes(i);
    const auto* values = reinterpret_cast<const float*>(bytes.data());
    const size_t n = bytes.size() / sizeof(float);
    if (n_total == 0) {
      out.insert(out.end(), values, values + n);
      return;
    }
    const auto n_keys = static_cast<size_t>(probes.n_keys());
    for (size_t at = 0; at < n; at += n_keys) {
      out.insert(out.end(), values + at, values + at + n_keys);
      out.insert(out.end(), static_cast<size_t>(n_total) - n_keys, 0.0f);
    }
  }
}

double largest_difference(const std::vector<float>& actual, const std::vector<float>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    const double difference = std::abs(double{actual[i]} - double{expected[i]});
    if (!(difference <= largest)) largest = difference;  // NaN sticks
  }
  return largest;
}

double largest_relative(const std::vector<float>& actual, const std::vector<float>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    const double difference = std::abs(double{actual[i]} - double{expected[i]}) / std::abs(double{expected[i]});
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

// Lists of (id, value), largest first: values must agree; ids too, but where a neighbour is as likely.
void expect_tops(const std::vector<float>& actual, const std::vector<float>& expected, int64_t k, double bound) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); i += 2) {
    const float id = actual[i], value = actual[i + 1], expected_id = expected[i], expected_value = expected[i + 1];
    if (std::isnan(expected_value)) {
      EXPECT_TRUE(std::isnan(value)) << "entry " << i / 2;
      EXPECT_EQ(id, -1.0f);
      continue;
    }
    ASSERT_NEAR(value, expected_value, bound) << "entry " << i / 2;
    if (id == expected_id) continue;
    const size_t place = i / 2 % static_cast<size_t>(k);
    const bool tie_before = place > 0 && std::abs(expected[i - 1] - expected_value) < 2 * bound;
    const bool tie_after = place + 1 < static_cast<size_t>(k) && std::abs(expected[i + 3] - expected_value) < 2 * bound;
    EXPECT_TRUE(tie_before || tie_after || place + 1 == static_cast<size_t>(k))
        << "entry " << i / 2 << ": id " << id << " instead of " << expected_id;
  }
}

// The rows of some steps, of all rows [T, layer, head, T].
std::vector<float> rows_of_steps(const std::vector<float>& rows, const std::vector<int32_t>& steps, size_t n_tokens) {
  const size_t per_step = rows.size() / n_tokens;
  std::vector<float> chosen;
  for (const int32_t step : steps) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(step) * per_step);
    chosen.insert(chosen.end(), begin, begin + static_cast<std::ptrdiff_t>(per_step));
  }
  return chosen;
}

void compare(const Measured& measured, const std::filesystem::path& golden, const GoldenBounds& bounds) {
  const auto has = [&](const char* name) { return std::filesystem::exists(golden / (std::string(name) + ".npy")); };
  const auto read = [&](const char* name) { return read_npy<float>(golden / (std::string(name) + ".npy")).values; };
  EXPECT_LE(largest_difference(measured.logits, read("logits")), bounds.logits);
  if (has("attention_row")) {
    std::vector<float> rows = measured.attention_row;
    if (has("attention_steps")) {
      const auto steps = read_npy<int32_t>(golden / "attention_steps.npy").values;
      rows = rows_of_steps(rows, steps, read_npy<int32_t>(golden / "tokens.npy").values.size());
    }
    EXPECT_LE(largest_difference(rows, read("attention_row")), bounds.attention_row);
  }
  if (has("attention_output")) {
    EXPECT_LE(largest_relative(measured.attention_output, read("attention_output")), bounds.norm_relative);
  }
  if (has("residual_norm")) {
    EXPECT_LE(largest_relative(measured.residual_norm, read("residual_norm")), bounds.norm_relative);
  }
  if (has("lens_top")) expect_tops(measured.lens_top, read("lens_top"), kLensTop, bounds.probability);
  if (has("output_top")) expect_tops(measured.output_top, read("output_top"), kTop, 2 * bounds.logits);
  if (has("output_entropy")) {
    EXPECT_LE(largest_difference(measured.output_entropy, read("output_entropy")), bounds.probability);
  }
  if (has("output_tail")) {
    EXPECT_LE(largest_difference(measured.output_tail, read("output_tail")), bounds.probability);
  }
}

}  // namespace

ProbePlan plan_of_everything(const ModelConfig& config) {
  ProbePlan plan;
  std::vector<int32_t> layers(config.layers.size()), heads;
  int32_t n_heads = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i] = static_cast<int32_t>(i);
    n_heads = std::max(n_heads, config.layers[i].attention.n_heads);
  }
  for (int32_t h = 0; h < n_heads; ++h) heads.push_back(h);
  const auto per_head = [&](Quantity quantity, int64_t n) {
    plan.fields.push_back({.quantity = quantity, .layers = layers, .heads = {}, .width = {.fixed = n_heads * n}});
  };
  plan.fields.push_back({.quantity = Quantity::kResidualNorm, .layers = layers, .heads = {}, .width = {.fixed = 1}});
  per_head(Quantity::kAttentionEntropy, 1);
  per_head(Quantity::kAttentionFirst, 1);
  per_head(Quantity::kAttentionPrevious, 1);
  per_head(Quantity::kAttentionDistance, 1);
  per_head(Quantity::kAttentionOutput, 1);
  per_head(Quantity::kAttentionTop, 2 * kAttentionTopKeys);
  per_head(Quantity::kAttentionRest, 1);
  plan.fields.push_back(
      {.quantity = Quantity::kAttentionMass, .layers = layers, .heads = {}, .width = {.per_block = n_heads}});
  plan.fields.push_back(
      {.quantity = Quantity::kAttentionRow, .layers = layers, .heads = heads, .width = {.per_key = n_heads}});
  plan.fields.push_back(
      {.quantity = Quantity::kLensTop, .layers = layers, .heads = {}, .width = {.fixed = 2 * kLensTop}});
  plan.fields.push_back({.quantity = Quantity::kOutputTop, .layers = {}, .heads = {}, .width = {.fixed = 2 * kTop}});
  plan.fields.push_back({.quantity = Quantity::kOutputEntropy, .layers = {}, .heads = {}, .width = {.fixed = 1}});
  plan.fields.push_back({.quantity = Quantity::kOutputTail, .layers = {}, .heads = {}, .width = {.fixed = 1}});
  plan.fields.push_back({.quantity = Quantity::kCacheBytes, .layers = layers, .heads = {}, .width = {.fixed = 8}});
  plan.fields.push_back({.quantity = Quantity::kCacheEntries, .layers = layers, .heads = {}, .width = {.fixed = 1}});
  plan.fields.push_back({.quantity = Quantity::kCacheEvicted, .layers = layers, .heads = {}, .width = {.fixed = 1}});
  return plan;
}

Measured measure(const std::shared_ptr<const Model>& model, const std::vector<int32_t>& tokens, int64_t batch_rows,
                 bool with_probes) {
  const ProbePlan plan = with_probes ? plan_of_everything(model->config()) : ProbePlan{};
  Generator generator(model, DType::kF32);
  Measured measured;
  for (size_t at = 0; at < tokens.size(); at += static_cast<size_t>(batch_rows)) {
    const size_t n = std::min(static_cast<size_t>(batch_rows), tokens.size() - at);
    const auto logits = generator.feed(std::span(tokens).subspan(at, n), plan, LogitsWanted::kAll);
    EXPECT_TRUE(logits.has_value());
    for (int64_t r = 0; r < logits->n_rows; ++r) {
      measured.logits.insert(measured.logits.end(), logits->row(r), logits->row(r) + logits->n_cols);
    }
    const ProbeBuffer& probes = generator.probes();
    append(probes, Quantity::kAttentionRow, measured.attention_row, static_cast<int64_t>(tokens.size()));
    append(probes, Quantity::kAttentionOutput, measured.attention_output);
    append(probes, Quantity::kResidualNorm, measured.residual_norm);
    append(probes, Quantity::kLensTop, measured.lens_top);
    append(probes, Quantity::kOutputTop, measured.output_top);
    append(probes, Quantity::kOutputEntropy, measured.output_entropy);
    append(probes, Quantity::kOutputTail, measured.output_tail);
  }
  return measured;
}

std::shared_ptr<const Model> load_model(const std::filesystem::path& path, int n_threads) {
  auto model = Model::load(path, make_cpu_backend(n_threads));
  EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message);
  return model ? *model : nullptr;
}

void expect_matches_golden(const std::shared_ptr<const Model>& model, const std::filesystem::path& golden,
                           const GoldenBounds& bounds, const std::vector<int64_t>& batch_sizes) {
  ASSERT_NE(model, nullptr);
  const std::vector<int32_t> tokens = read_npy<int32_t>(golden / "tokens.npy").values;
  for (const int64_t batch_size : batch_sizes) {
    const int64_t n_rows = batch_size == 0 ? static_cast<int64_t>(tokens.size()) : batch_size;
    SCOPED_TRACE("batches of " + std::to_string(n_rows));
    compare(measure(model, tokens, n_rows), golden, bounds);
  }
}

void expect_matches_golden(const std::filesystem::path& model, const std::filesystem::path& golden,
                           const GoldenBounds& bounds) {
  expect_matches_golden(load_model(model), golden, bounds, {0, 1, 7});
}

}  // namespace orrery::testing
