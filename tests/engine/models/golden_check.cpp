#include "tests/engine/models/golden_check.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

namespace orrery::testing {

namespace {

constexpr int64_t kTop = 64;
constexpr int64_t kLensTop = 8;

// What was not measured becomes NaN: visits of a loop that a row had left. values: a field's rows.
void clear_left(const ProbeBuffer& probes, const ProbeField& field, const ModelConfig& config,
                std::span<float> values) {
  if (probes.depths().empty() || field.layers.empty()) return;
  const size_t n_layers = field.layers.size(), n_rows = probes.depths().size(), n = values.size() / n_rows / n_layers;
  for (size_t row = 0; row < n_rows; ++row) {
    for (size_t i = 0; i < n_layers; ++i) {
      if (config.layers[static_cast<size_t>(field.layers[i])].iteration < probes.depths()[row]) continue;
      std::ranges::fill(values.subspan((row * n_layers + i) * n, n), std::numeric_limits<float>::quiet_NaN());
    }
  }
}

// Appends the rows of a field to `out`, widening the key axis of attention.row to n_total keys.
template <typename T>
void append(const ProbeBuffer& probes, const ModelConfig& config, Quantity quantity, std::vector<T>& out,
            int64_t n_total = 0) {
  for (size_t i = 0; i < probes.n_fields(); ++i) {
    if (probes.plan()->fields[i].quantity != quantity) continue;
    const auto bytes = probes.field_bytes(i);
    const auto* begin = reinterpret_cast<const T*>(bytes.data());
    std::vector<T> values(begin, begin + bytes.size() / sizeof(T));
    if constexpr (std::is_same_v<T, float>) clear_left(probes, probes.plan()->fields[i], config, values);
    if (n_total == 0) {
      out.insert(out.end(), values.begin(), values.end());
      return;
    }
    const auto n_keys = static_cast<std::ptrdiff_t>(probes.n_keys());
    for (auto at = values.begin(); at != values.end(); at += n_keys) {
      out.insert(out.end(), at, at + n_keys);
      out.insert(out.end(), static_cast<size_t>(n_total - n_keys), T{0});
    }
  }
}

double largest_difference(const std::vector<float>& actual, const std::vector<float>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    const double difference = std::abs(double{actual[i]} - double{expected[i]});
    if (std::isnan(actual[i]) && std::isnan(expected[i])) continue;
    if (!(difference <= largest)) largest = difference;  // NaN sticks
  }
  return largest;
}

double largest_relative(const std::vector<float>& actual, const std::vector<float>& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    if (actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i]))) continue;  // both may be 0
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

// Chosen experts [.., k] must be the same in the same order, but for neighbours of almost the same weight.
void expect_experts(const std::vector<int32_t>& actual, const std::vector<int32_t>& expected,
                    const std::vector<float>& weights, size_t k) {
  constexpr float kTie = 1e-5f;
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i]) continue;
    const bool tie_before = i % k > 0 && weights[i - 1] - weights[i] < kTie;
    const bool tie_after = i % k + 1 < k && weights[i] - weights[i + 1] < kTie;
    ASSERT_TRUE(tie_before || tie_after) << "choice " << i << ": expert " << actual[i] << " instead of " << expected[i];
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

// A golden's folder, of which everything but tokens and logits may be missing.
class Golden {
 public:
  explicit Golden(std::filesystem::path folder) : folder_(std::move(folder)) {}

  bool has(const char* name) const { return std::filesystem::exists(file(name)); }
  template <typename T = float>
  std::vector<T> read(const char* name) const {
    return read_npy<T>(file(name)).values;
  }
  size_t last_axis(const char* name) const { return static_cast<size_t>(read_npy<int32_t>(file(name)).shape.back()); }

  void expect_absolute(const char* name, const std::vector<float>& actual, double bound) const {
    if (!has(name)) return;
    EXPECT_LE(largest_difference(actual, read(name)), bound) << name;
  }
  void expect_relative(const char* name, const std::vector<float>& actual, double bound) const {
    if (!has(name)) return;
    EXPECT_LE(largest_relative(actual, read(name)), bound) << name;
  }

 private:
  std::filesystem::path file(const char* name) const { return folder_ / (std::string(name) + ".npy"); }

  std::filesystem::path folder_;
};

void compare_attention(const Measured& measured, const Golden& golden, const GoldenBounds& bounds) {
  std::vector<float> rows = measured.attention_row;
  if (golden.has("attention_row") && golden.has("attention_steps")) {
    const size_t n_tokens = golden.read<int32_t>("tokens").size();
    rows = rows_of_steps(rows, golden.read<int32_t>("attention_steps"), n_tokens);
  }
  golden.expect_absolute("attention_row", rows, bounds.attention_row);
  golden.expect_relative("attention_output", measured.attention_output, bounds.norm_relative);
}

void compare_states(const Measured& measured, const Golden& golden, const GoldenBounds& bounds) {
  golden.expect_relative("state_norm", measured.state_norm, bounds.norm_relative);
  golden.expect_relative("state_write", measured.state_write, bounds.norm_relative);
  golden.expect_relative("state_erase", measured.state_erase, bounds.norm_relative);
  golden.expect_relative("state_read", measured.state_read, bounds.norm_relative);
  golden.expect_absolute("state_keep", measured.state_keep, bounds.attention_row);
  golden.expect_relative("conv_taps", measured.conv_taps, bounds.norm_relative);
  golden.expect_relative("conv_gate_in", measured.conv_gate_in, bounds.norm_relative);
  golden.expect_relative("conv_gate_out", measured.conv_gate_out, bounds.norm_relative);
}

void compare_fast_weights(const Measured& measured, const Golden& golden, const GoldenBounds& bounds) {
  golden.expect_relative("fast_loss_before", measured.fast_loss_before, bounds.norm_relative);
  golden.expect_relative("fast_loss_after", measured.fast_loss_after, bounds.norm_relative);
  golden.expect_relative("fast_rate", measured.fast_rate, bounds.norm_relative);
  golden.expect_relative("fast_update", measured.fast_update, bounds.norm_relative);
  golden.expect_relative("fast_drift", measured.fast_drift, bounds.norm_relative);
}

void compare_experts(const Measured& measured, const Golden& golden, const GoldenBounds& bounds) {
  if (!golden.has("moe_experts")) return;
  expect_experts(measured.moe_experts, golden.read<int32_t>("moe_experts"), golden.read("moe_weights"),
                 golden.last_axis("moe_experts"));
  golden.expect_absolute("moe_weights", measured.moe_weights, bounds.attention_row);
  golden.expect_absolute("moe_margin", measured.moe_margin, bounds.attention_row);
  golden.expect_absolute("moe_entropy", measured.moe_entropy, bounds.probability);
}

void compare_loop(const Measured& measured, const Golden& golden, const GoldenBounds& bounds) {
  if (golden.has("loop_depth")) {
    EXPECT_EQ(measured.loop_depth, golden.read<int32_t>("loop_depth"));
  }
  golden.expect_absolute("loop_exit", measured.loop_exit, bounds.probability);
  golden.expect_relative("loop_step", measured.loop_step, bounds.norm_relative);
  golden.expect_absolute("loop_cosine", measured.loop_cosine, bounds.norm_relative);
}

void compare(const Measured& measured, const Golden& golden, const GoldenBounds& bounds) {
  EXPECT_LE(largest_difference(measured.logits, golden.read("logits")), bounds.logits);
  compare_attention(measured, golden, bounds);
  compare_states(measured, golden, bounds);
  compare_fast_weights(measured, golden, bounds);
  compare_experts(measured, golden, bounds);
  compare_loop(measured, golden, bounds);
  golden.expect_relative("residual_norm", measured.residual_norm, bounds.norm_relative);
  if (golden.has("lens_top")) expect_tops(measured.lens_top, golden.read("lens_top"), kLensTop, bounds.probability);
  if (golden.has("output_top")) expect_tops(measured.output_top, golden.read("output_top"), kTop, 2 * bounds.logits);
  golden.expect_absolute("output_entropy", measured.output_entropy, bounds.probability);
  golden.expect_absolute("output_tail", measured.output_tail, bounds.probability);
}

// Indices of the layers for which `has` says so.
std::vector<int32_t> layers_with(const ModelConfig& config, bool (*has)(const LayerConfig& layer)) {
  std::vector<int32_t> layers;
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (has(config.layers[static_cast<size_t>(i)])) layers.push_back(i);
  }
  return layers;
}

int32_t longest(const ModelConfig& config, const std::vector<int32_t>& layers,
                int32_t (*size_in)(const LayerConfig& layer)) {
  int32_t most = 0;
  for (const int32_t i : layers) most = std::max(most, size_in(config.layers[static_cast<size_t>(i)]));
  return most;
}

void plan_attention(const ModelConfig& config, ProbePlan& plan) {
  const auto layers = layers_with(config, [](const LayerConfig& layer) { return layer.has(MixerKind::kAttention); });
  if (layers.empty()) return;
  const int32_t n_heads = longest(config, layers, [](const LayerConfig& layer) { return layer.attention.n_heads; });
  std::vector<int32_t> heads;
  for (int32_t h = 0; h < n_heads; ++h) heads.push_back(h);
  const auto per_head = [&](Quantity quantity, int64_t n) {
    plan.fields.push_back({.quantity = quantity, .layers = layers, .heads = {}, .width = {.fixed = n_heads * n}});
  };
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
}

void plan_states(const ModelConfig& config, ProbePlan& plan) {
  const auto layers = layers_with(config, [](const LayerConfig& layer) { return layer.has(MixerKind::kMatrixState); });
  if (layers.empty()) return;
  const int32_t n = longest(config, layers, [](const LayerConfig& layer) { return layer.state.n_stat_heads; });
  for (const Quantity quantity :
       {Quantity::kStateNorm, Quantity::kStateWrite, Quantity::kStateErase, Quantity::kStateRead}) {
    plan.fields.push_back({.quantity = quantity, .layers = layers, .heads = {}, .width = {.fixed = n}});
  }
  plan.fields.push_back({.quantity = Quantity::kStateKeep, .layers = layers, .heads = {}, .width = {.fixed = 3 * n}});
}

void plan_fast_weights(const ModelConfig& config, ProbePlan& plan) {
  const auto layers = layers_with(config, [](const LayerConfig& layer) { return layer.has(MixerKind::kFastWeights); });
  if (layers.empty()) return;
  const int32_t n = longest(config, layers, [](const LayerConfig& layer) { return layer.fast.n_heads; });
  for (const Quantity quantity : {Quantity::kFastLossBefore, Quantity::kFastLossAfter, Quantity::kFastRate,
                                  Quantity::kFastUpdate, Quantity::kFastDrift}) {
    plan.fields.push_back({.quantity = quantity, .layers = layers, .heads = {}, .width = {.fixed = n}});
  }
}

void plan_convolutions(const ModelConfig& config, ProbePlan& plan) {
  const auto layers = layers_with(config, [](const LayerConfig& layer) { return layer.conv.n_taps > 0; });
  const auto gated =
      layers_with(config, [](const LayerConfig& layer) { return layer.conv.n_taps > 0 && layer.conv.is_gated; });
  const int32_t n_taps = longest(config, layers, [](const LayerConfig& layer) { return layer.conv.n_taps; });
  if (!layers.empty()) {
    plan.fields.push_back({.quantity = Quantity::kConvTaps, .layers = layers, .heads = {}, .width = {.fixed = n_taps}});
  }
  if (gated.empty()) return;
  plan.fields.push_back({.quantity = Quantity::kConvGateIn, .layers = gated, .heads = {}, .width = {.fixed = 1}});
  plan.fields.push_back({.quantity = Quantity::kConvGateOut, .layers = gated, .heads = {}, .width = {.fixed = 1}});
}

void plan_experts(const ModelConfig& config, ProbePlan& plan) {
  const auto layers =
      layers_with(config, [](const LayerConfig& layer) { return layer.feed_forward == FeedForwardKind::kMoe; });
  if (layers.empty()) return;
  const int32_t k = longest(config, layers, [](const LayerConfig& layer) { return layer.moe.router.n_chosen; });
  plan.fields.push_back({.quantity = Quantity::kMoeExperts, .layers = layers, .heads = {}, .width = {.fixed = k}});
  plan.fields.push_back({.quantity = Quantity::kMoeWeights, .layers = layers, .heads = {}, .width = {.fixed = k}});
  plan.fields.push_back({.quantity = Quantity::kMoeMargin, .layers = layers, .heads = {}, .width = {.fixed = 1}});
  plan.fields.push_back({.quantity = Quantity::kMoeEntropy, .layers = layers, .heads = {}, .width = {.fixed = 1}});
}

void plan_loop(const ModelConfig& config, ProbePlan& plan) {
  if (!config.loop.any()) return;
  const int64_t n = config.loop.n_iterations;
  plan.fields.push_back({.quantity = Quantity::kLoopDepth, .layers = {}, .heads = {}, .width = {.fixed = 1}});
  plan.fields.push_back({.quantity = Quantity::kLoopStep, .layers = {}, .heads = {}, .width = {.fixed = n}});
  plan.fields.push_back({.quantity = Quantity::kLoopCosine, .layers = {}, .heads = {}, .width = {.fixed = n}});
  if (!config.loop.has_gate) return;
  plan.fields.push_back({.quantity = Quantity::kLoopExit, .layers = {}, .heads = {}, .width = {.fixed = n}});
}

// The implied rows of one step, [layer with a state, head, n_total]: the tokens before it come first, and are kept.
std::vector<float> state_rows_of(const std::shared_ptr<const Model>& model, std::span<const int32_t> tokens,
                                 size_t step) {
  const auto layers =
      layers_with(model->config(), [](const LayerConfig& layer) { return layer.has(MixerKind::kMatrixState); });
  const int32_t n = longest(model->config(), layers, [](const LayerConfig& layer) { return layer.state.n_stat_heads; });
  std::vector<int32_t> heads;
  for (int32_t h = 0; h < n; ++h) heads.push_back(h);
  const ProbePlan kept{.fields = {}, .keeps_history = true};
  const ProbePlan rows{
      .fields = {{.quantity = Quantity::kStateRow, .layers = layers, .heads = heads, .width = {.per_key = n}}},
      .keeps_history = true};
  Generator generator(model, DType::kF32);
  EXPECT_TRUE(generator.feed(tokens.first(step), kept, LogitsWanted::kNone));
  EXPECT_TRUE(generator.feed(tokens.subspan(step, 1), rows, LogitsWanted::kNone));
  std::vector<float> values;
  append(generator.probes(), model->config(), Quantity::kStateRow, values, static_cast<int64_t>(tokens.size()));
  return values;
}

void compare_state_rows(const std::shared_ptr<const Model>& model, const std::vector<int32_t>& tokens,
                        const Golden& golden, const GoldenBounds& bounds) {
  if (!golden.has("state_row")) return;
  std::vector<float> rows;
  for (const int32_t step : golden.read<int32_t>("state_steps")) {
    const auto row = state_rows_of(model, tokens, static_cast<size_t>(step));
    rows.insert(rows.end(), row.begin(), row.end());
  }
  golden.expect_absolute("state_row", rows, bounds.state_row);
}

}  // namespace

std::string golden_test_name(const ::testing::TestParamInfo<ModelGolden>& golden) {
  std::string name = golden.param.model;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

ProbePlan plan_of_everything(const ModelConfig& config) {
  ProbePlan plan;
  const std::vector<int32_t> layers = layers_with(config, [](const LayerConfig&) { return true; });
  plan.fields.push_back({.quantity = Quantity::kResidualNorm, .layers = layers, .heads = {}, .width = {.fixed = 1}});
  plan_attention(config, plan);
  plan_states(config, plan);
  plan_fast_weights(config, plan);
  plan_convolutions(config, plan);
  plan_experts(config, plan);
  plan_loop(config, plan);
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
    append(probes, model->config(), Quantity::kAttentionRow, measured.attention_row,
           static_cast<int64_t>(tokens.size()));
    append(probes, model->config(), Quantity::kAttentionOutput, measured.attention_output);
    append(probes, model->config(), Quantity::kResidualNorm, measured.residual_norm);
    append(probes, model->config(), Quantity::kStateNorm, measured.state_norm);
    append(probes, model->config(), Quantity::kStateWrite, measured.state_write);
    append(probes, model->config(), Quantity::kStateErase, measured.state_erase);
    append(probes, model->config(), Quantity::kStateRead, measured.state_read);
    append(probes, model->config(), Quantity::kStateKeep, measured.state_keep);
    append(probes, model->config(), Quantity::kFastLossBefore, measured.fast_loss_before);
    append(probes, model->config(), Quantity::kFastLossAfter, measured.fast_loss_after);
    append(probes, model->config(), Quantity::kFastRate, measured.fast_rate);
    append(probes, model->config(), Quantity::kFastUpdate, measured.fast_update);
    append(probes, model->config(), Quantity::kFastDrift, measured.fast_drift);
    append(probes, model->config(), Quantity::kConvTaps, measured.conv_taps);
    append(probes, model->config(), Quantity::kConvGateIn, measured.conv_gate_in);
    append(probes, model->config(), Quantity::kConvGateOut, measured.conv_gate_out);
    append(probes, model->config(), Quantity::kMoeExperts, measured.moe_experts);
    append(probes, model->config(), Quantity::kMoeWeights, measured.moe_weights);
    append(probes, model->config(), Quantity::kMoeMargin, measured.moe_margin);
    append(probes, model->config(), Quantity::kMoeEntropy, measured.moe_entropy);
    append(probes, model->config(), Quantity::kLoopDepth, measured.loop_depth);
    append(probes, model->config(), Quantity::kLoopExit, measured.loop_exit);
    append(probes, model->config(), Quantity::kLoopStep, measured.loop_step);
    append(probes, model->config(), Quantity::kLoopCosine, measured.loop_cosine);
    append(probes, model->config(), Quantity::kLensTop, measured.lens_top);
    append(probes, model->config(), Quantity::kOutputTop, measured.output_top);
    append(probes, model->config(), Quantity::kOutputEntropy, measured.output_entropy);
    append(probes, model->config(), Quantity::kOutputTail, measured.output_tail);
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
  compare_state_rows(model, tokens, Golden(golden), bounds);
  for (const int64_t batch_size : batch_sizes) {
    const int64_t n_rows = batch_size == 0 ? static_cast<int64_t>(tokens.size()) : batch_size;
    SCOPED_TRACE("batches of " + std::to_string(n_rows));
    compare(measure(model, tokens, n_rows), Golden(golden), bounds);
  }
}

void expect_matches_golden(const std::filesystem::path& model, const std::filesystem::path& golden,
                           const GoldenBounds& bounds) {
  expect_matches_golden(load_model(model), golden, bounds, {0, 1, 7});
}

}  // namespace orrery::testing
