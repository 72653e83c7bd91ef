#include "engine/models/delta_layers.h"

#include <cmath>
#include <string>
#include <vector>

#include "engine/models/mamba_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr int64_t kMostHeads = int64_t{1} << 16;
constexpr int64_t kMostWidth = int64_t{1} << 24;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, int64_t value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + std::to_string(value)};
}

}  // namespace

Result<void> read_delta_layer(const ModelFile& file, const DeltaKeys& keys, const DeltaNames& names, int32_t layer,
                              int64_t n_channels, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const TensorView decays, file.tensor(names.log_decay, layer, {-1}));
  const int64_t n_heads = decays.shape[0];
  const std::string decays_length = "the length of " + file.spelled(names.log_decay, layer);
  if (n_heads < 1 || n_heads > kMostHeads) return must(file, decays_length, "be a number of heads", n_heads);
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.n_heads, n_heads, decays_length));

  ORRERY_ASSIGN_OR_RETURN(const TensorView out, file.tensor(names.out, layer, {config.d_model, -1}));
  const int64_t value_width = out.n_cols();
  const std::string columns = "the columns of " + file.spelled(names.out, layer);
  if (value_width < 1 || value_width > kMostWidth || value_width % n_heads != 0) {
    return must(file, columns, "be a multiple of the " + std::to_string(n_heads) + " heads", value_width);
  }
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.value_width, value_width, columns));
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.d_value, value_width / n_heads, "each head's share of " + columns));

  ORRERY_ASSIGN_OR_RETURN(const int64_t n_groups, file.integer(keys.n_groups, 1, kMostHeads, keys.usual_groups));
  if (n_heads % n_groups != 0) {
    return must(file, file.spelled(keys.n_groups), "divide the " + std::to_string(n_heads) + " value heads", n_groups);
  }
  const int64_t key_widths = n_channels - value_width;
  if (key_widths < 1 || n_channels > kMostWidth || key_widths % (2 * n_groups) != 0) {
    return must(file, file.spelled(keys.n_groups),
                "part the " + std::to_string(key_widths) + " query and key channels of layer " + std::to_string(layer),
                n_groups);
  }
  const int64_t d_key = key_widths / (2 * n_groups);
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.d_key, d_key, "each key head's share of the channels"));
  LayerConfig& of_layer = config.layers[static_cast<size_t>(layer)];
  of_layer.state.recurrence = Recurrence::kGatedDelta;
  of_layer.state.sizes = {.n_heads = static_cast<int32_t>(n_heads),
                          .n_groups = static_cast<int32_t>(n_groups),
                          .d_key = static_cast<int32_t>(d_key),
                          .d_value = static_cast<int32_t>(value_width / n_heads)};
  of_layer.state.n_stat_heads = static_cast<int32_t>(n_heads);
  of_layer.conv.n_channels = n_channels;
  return {};
}

GatedDeltaWeights delta_weights(DecoderBuilder& decoder, int32_t layer, const DeltaNames& names) {
  const MatrixStateSizes& sizes = decoder.layer_config(layer).state.sizes;
  TensorPlacer& place = decoder.place();
  GatedDeltaWeights weights;
  weights.rate_bias = place.vector(names.rate_bias, layer, sizes.n_heads);
  weights.log_decay = log_decays(place, names.log_decay, layer, {sizes.n_heads});
  weights.norm = place.vector(names.norm, layer, sizes.d_value);
  weights.out = place.matrix(names.out, layer, decoder.config().d_model, int64_t{sizes.n_heads} * sizes.d_value);
  const float length_one = 1.0f / std::sqrt(static_cast<float>(sizes.d_key));
  weights.unit = place.made(std::vector<float>(static_cast<size_t>(sizes.d_key), length_one), {sizes.d_key});
  return weights;
}

}  // namespace orrery
