#include "engine/models/mamba2_layers.h"

#include <string>

#include "engine/models/mamba_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr int64_t kMostHeads = int64_t{1} << 16;
constexpr int64_t kMostWidth = int64_t{1} << 24;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, int64_t value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + std::to_string(value)};
}

// [n_heads], or [n_heads, 1] in GGUF.
Result<int64_t> heads_of(const ModelFile& file, const Mamba2Names& names, int32_t layer) {
  const StoredTensor* stored = file.find(names.log_decay, layer);
  const bool has_axis_of_one = stored != nullptr && stored->shape.rank() == 2;
  ORRERY_ASSIGN_OR_RETURN(const TensorView decays,
                          file.tensor(names.log_decay, layer, has_axis_of_one ? Shape{-1, 1} : Shape{-1}));
  const int64_t n_heads = decays.shape[0];
  if (n_heads >= 1 && n_heads <= kMostHeads) return n_heads;
  return must(file, "the length of " + file.spelled(names.log_decay, layer), "be a number of heads", n_heads);
}

Result<MatrixStateSizes> read_sizes_of(const ModelFile& file, const Mamba2Keys& keys, const Mamba2Names& names,
                                       int32_t layer, int64_t d_model) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, heads_of(file, names, layer));
  ORRERY_RETURN_IF_ERROR(
      check_stated(file, keys.n_heads, n_heads, "the length of " + file.spelled(names.log_decay, layer)));
  ORRERY_ASSIGN_OR_RETURN(const TensorView out, file.tensor(names.out, layer, {d_model, -1}));
  const int64_t d_inner = out.n_cols();
  const std::string columns = "the columns of " + file.spelled(names.out, layer);
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.d_inner, d_inner, columns));
  ORRERY_RETURN_IF_ERROR(check_expansion(file, keys.expansion, d_model, d_inner));
  if (d_inner < 1 || d_inner > kMostWidth || d_inner % n_heads != 0) {
    return must(file, columns, "be a multiple of the " + std::to_string(n_heads) + " heads", d_inner);
  }
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.d_head, d_inner / n_heads, "that share of " + columns));
  ORRERY_RETURN_IF_ERROR(check_bias(file, keys.bias, names.in_bias, layer));
  ORRERY_RETURN_IF_ERROR(check_bias(file, keys.bias, names.out_bias, layer));
  ORRERY_RETURN_IF_ERROR(check_bias(file, keys.taps_bias, names.taps_bias, layer));
  // in: z, x, B, C and a step of time for each head.
  ORRERY_ASSIGN_OR_RETURN(const TensorView in, file.tensor(names.in, layer, {-1, d_model}));
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_groups,
                          file.integer(keys.n_groups, 1, kMostHeads, is_gguf ? 1 : keys.usual_groups));
  if (n_heads % n_groups != 0) {
    return must(file, file.spelled(keys.n_groups), "divide the " + std::to_string(n_heads) + " heads", n_groups);
  }
  const int64_t key_widths = in.n_rows() - 2 * d_inner - n_heads;
  if (key_widths < 1 || key_widths % (2 * n_groups) != 0) {
    return must(file, "the rows of " + file.spelled(names.in, layer),
                "hold gate, input, two keys for each of " + std::to_string(n_groups) + " groups (" +
                    file.spelled(keys.n_groups) + ") and " + std::to_string(n_heads) + " steps of time",
                in.n_rows());
  }
  const int64_t d_state = key_widths / (2 * n_groups);
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.d_state, d_state,
                                      "as the rows of " + file.spelled(names.in, layer) + " leave for each of " +
                                          std::to_string(n_groups) + " groups"));
  return MatrixStateSizes{.n_heads = static_cast<int32_t>(n_heads),
                          .n_groups = static_cast<int32_t>(n_groups),
                          .d_key = static_cast<int32_t>(d_state),
                          .d_value = static_cast<int32_t>(d_inner / n_heads)};
}

}  // namespace

Mamba2Keys mamba2_part_keys(const ModelFile& file) {
  Mamba2Keys keys{.taps = {"ssm.conv_kernel", "mamba_d_conv"},
                  .d_inner = {"ssm.inner_size", "mamba_d_ssm"},
                  .d_state = {"ssm.state_size", "mamba_d_state"},
                  .n_heads = {"ssm.time_step_rank", "mamba_n_heads"},
                  .d_head = {"", "mamba_d_head"},
                  .n_groups = {"ssm.group_count", "mamba_n_groups"}};
  // Falcon-H1 states the width itself, and has the usual expansion beside it.
  if (!file.has(keys.d_inner)) keys.expansion = {"", "mamba_expand"};
  if (const auto word = file.text(keys.d_head, "auto"); word && *word == "auto") keys.d_head = {};
  return keys;
}

Result<void> read_mamba2_layer(const ModelFile& file, const Mamba2Keys& keys, const Mamba2Names& names, int32_t layer,
                               ModelConfig& config) {
  LayerConfig& of_layer = config.layers[static_cast<size_t>(layer)];
  of_layer.state.recurrence = Recurrence::kMamba2;
  ORRERY_ASSIGN_OR_RETURN(of_layer.state.sizes, read_sizes_of(file, keys, names, layer, config.d_model));
  const MatrixStateSizes& sizes = of_layer.state.sizes;
  of_layer.state.n_stat_heads = sizes.n_heads;
  of_layer.conv.n_channels = int64_t{sizes.n_heads} * sizes.d_value + 2 * int64_t{sizes.n_groups} * sizes.d_key;
  ORRERY_ASSIGN_OR_RETURN(of_layer.conv.n_taps,
                          read_taps(file, keys.taps, names.taps, layer, of_layer.conv.n_channels));
  return {};
}

Result<void> read_mamba2_layers(const ModelFile& file, const Mamba2Keys& keys, const Mamba2Names& names,
                                ModelConfig& config) {
  if (!keys.activation.empty()) ORRERY_RETURN_IF_ERROR(expect_silu(file, keys.activation));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (!config.layers[static_cast<size_t>(i)].has(MixerKind::kMatrixState)) continue;
    ORRERY_RETURN_IF_ERROR(read_mamba2_layer(file, keys, names, i, config));
  }
  return {};
}

Result<Mamba2Config> mamba2_config(const ModelFile& file, const Mamba2Keys& keys, const ModelConfig& config,
                                   int32_t layer) {
  const LayerConfig& of_layer = config.layers[static_cast<size_t>(layer)];
  constexpr SoftplusRange kAll;
  ORRERY_ASSIGN_OR_RETURN(const auto time_steps, file.range(keys.time_steps, {kAll.least, kAll.greatest}));
  Mamba2Config mixer;
  mixer.conv = of_layer.conv;
  mixer.state = of_layer.state;
  mixer.time_steps = {static_cast<float>(time_steps.first), static_cast<float>(time_steps.second)};
  mixer.n_norm_groups = of_layer.state.sizes.n_groups;
  mixer.norm_epsilon = config.norm_epsilon;
  return mixer;
}

Mamba2Weights mamba2_weights(DecoderBuilder& decoder, int32_t layer, const Mamba2Names& names, bool with_norm) {
  const LayerConfig& config = decoder.layer_config(layer);
  const MatrixStateSizes& sizes = config.state.sizes;
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model, d_inner = int64_t{sizes.n_heads} * sizes.d_value;
  const int64_t n_channels = config.conv.n_channels, n_in = d_inner + n_channels + sizes.n_heads;
  Mamba2Weights weights;
  weights.in = place.matrix(names.in, layer, n_in, d_model);
  weights.in_bias = place.optional_vector(names.in_bias, layer, n_in);
  weights.taps = place.taps(names.taps, layer, n_channels, config.conv.n_taps);
  weights.taps_bias = place.optional_vector(names.taps_bias, layer, n_channels);
  weights.time_step_bias = place.vector(names.time_step_bias, layer, sizes.n_heads);
  weights.log_decay = log_decays(place, names.log_decay, layer, {sizes.n_heads});
  weights.skip = place.made(place.values(names.skip, layer, sizes.n_heads), {sizes.n_heads});
  if (with_norm) weights.norm = place.made(place.values(names.norm, layer, d_inner), {d_inner});
  weights.out = place.matrix(names.out, layer, d_model, d_inner);
  weights.out_bias = place.optional_vector(names.out_bias, layer, d_model);
  return weights;
}

}  // namespace orrery
