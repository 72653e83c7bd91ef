#include "engine/models/mamba_layers.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/blocks/mamba_mixer.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr int64_t kMostChannels = int64_t{1} << 24;
constexpr int64_t kMostState = 4096;
constexpr int32_t kChannelGroups = 16;  // of state.*, whatever the model

Error must_fit(const ModelFile& file, const std::string& what, int64_t value, int64_t most) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must be from 1 to " + std::to_string(most) +
                                       ", but is " + std::to_string(value)};
}

// What is stated of the sizes of a layer.
Result<void> check_sizes(const ModelFile& file, const MambaKeys& keys, const MambaNames& names, int32_t layer,
                         const ModelConfig& config) {
  const MatrixStateSizes& sizes = config.layers[static_cast<size_t>(layer)].state.sizes;
  const std::string of_decays = "as " + file.spelled(names.log_decay, layer) + " has it";
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.d_inner, sizes.n_heads, of_decays));
  ORRERY_RETURN_IF_ERROR(check_stated(file, keys.d_state, sizes.d_key, of_decays));
  if (!file.has(keys.d_inner)) {  // which the reference classes prefer
    ORRERY_RETURN_IF_ERROR(check_expansion(file, keys.expansion, config.d_model, sizes.n_heads));
  }
  ORRERY_RETURN_IF_ERROR(check_bias(file, keys.bias, names.in_bias, layer));
  ORRERY_RETURN_IF_ERROR(check_bias(file, keys.bias, names.out_bias, layer));
  ORRERY_RETURN_IF_ERROR(check_bias(file, keys.taps_bias, names.taps_bias, layer));
  ORRERY_ASSIGN_OR_RETURN(const TensorView time_step, file.tensor(names.time_step, layer, {sizes.n_heads, -1}));
  const auto rank_word = file.text(keys.rank, "auto");
  if (rank_word && *rank_word == "auto") return {};
  return check_stated(file, keys.rank, time_step.n_cols(), "as " + file.spelled(names.time_step, layer) + " has it");
}

}  // namespace

Result<void> read_mamba_layers(const ModelFile& file, const MambaKeys& keys, const MambaNames& names,
                               ModelConfig& config) {
  ORRERY_RETURN_IF_ERROR(expect_silu(file, "hidden_act"));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!layer.has(MixerKind::kMatrixState)) continue;
    ORRERY_ASSIGN_OR_RETURN(const TensorView decays, file.tensor(names.log_decay, i, {-1, -1}));
    const int64_t d_inner = decays.n_rows(), d_state = decays.n_cols();
    const std::string name = file.spelled(names.log_decay, i);
    if (d_inner < 1 || d_inner > kMostChannels) return must_fit(file, "the rows of " + name, d_inner, kMostChannels);
    if (d_state < 1 || d_state > kMostState) return must_fit(file, "the columns of " + name, d_state, kMostState);
    layer.state.recurrence = Recurrence::kMamba1;
    layer.state.sizes = {
        .n_heads = static_cast<int32_t>(d_inner), .n_groups = 1, .d_key = static_cast<int32_t>(d_state), .d_value = 1};
    layer.state.n_stat_heads = static_cast<int32_t>(std::min<int64_t>(kChannelGroups, d_inner));
    ORRERY_RETURN_IF_ERROR(check_sizes(file, keys, names, i, config));
    layer.conv.n_channels = d_inner;
    ORRERY_ASSIGN_OR_RETURN(layer.conv.n_taps, read_taps(file, keys.taps, names.taps, i, d_inner));
  }
  return {};
}

TensorView log_decays(TensorPlacer& place, TensorName name, int32_t layer, Shape shape) {
  std::vector<float> values = place.values(name, layer, shape.n_elements());
  if (place.file().format() == ModelFile::Format::kHuggingFace) {
    for (float& value : values) value = -std::exp(value);
  }
  return place.made(std::move(values), shape);
}

std::unique_ptr<Mixer> mamba_mixer(DecoderBuilder& decoder, int32_t layer, const MambaNames& names, MambaNorms norms,
                                   float norm_epsilon) {
  const LayerConfig& config = decoder.layer_config(layer);
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model, d_inner = config.conv.n_channels,
                d_state = config.state.sizes.d_key;
  const StoredTensor* time_step = place.file().find(names.time_step, layer);
  CHECK(time_step != nullptr && time_step->shape.rank() == 2, "sizes are read first");
  const int64_t rank = time_step->shape[1];
  const auto norm = [&](TensorName name, int64_t n) -> TensorView {
    if (norms == MambaNorms::kWeighted) return place.vector(name, layer, n);
    if (norms == MambaNorms::kNone) return {};
    return place.made(std::vector<float>(static_cast<size_t>(n), 1.0f), {n});
  };
  MambaWeights weights;
  weights.in = place.matrix(names.in, layer, 2 * d_inner, d_model);
  weights.in_bias = place.optional_vector(names.in_bias, layer, 2 * d_inner);
  weights.taps = place.taps(names.taps, layer, d_inner, config.conv.n_taps);
  weights.taps_bias = place.optional_vector(names.taps_bias, layer, d_inner);
  weights.project = place.matrix(names.project, layer, rank + 2 * d_state, d_inner);
  weights.time_step = place.matrix(names.time_step, layer, d_inner, rank);
  weights.time_step_bias = place.vector(names.time_step_bias, layer, d_inner);
  weights.delta_norm = norm(names.delta_norm, rank);
  weights.b_norm = norm(names.b_norm, d_state);
  weights.c_norm = norm(names.c_norm, d_state);
  weights.log_decay = log_decays(place, names.log_decay, layer, {d_inner, d_state});
  weights.skip = place.vector(names.skip, layer, d_inner);
  weights.out = place.matrix(names.out, layer, d_model, d_inner);
  weights.out_bias = place.optional_vector(names.out_bias, layer, d_model);
  return std::make_unique<MambaMixer>(config.conv, config.state, weights, norm_epsilon);
}

}  // namespace orrery
