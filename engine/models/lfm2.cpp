#include "engine/models/lfm2.h"

#include <algorithm>
#include <utility>

#include "engine/blocks/residual_block.h"
#include "engine/models/lfm_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr RopeKind kRope{.default_base = 1e6};

// The older spelling lists the layers with attention; without a list all of them have it.
Result<std::vector<std::string>> read_layer_types(const ModelFile& file, int32_t n_layers) {
  constexpr ConfigKey kIndices{"", "full_attn_idxs"};
  if (file.has({"", "layer_types"}) || !file.has(kIndices)) {
    return lfm_layer_types(file, n_layers, false, [](int32_t) -> std::string_view { return "full_attention"; });
  }
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> indices, file.integers(kIndices, n_layers, 0, n_layers - 1));
  std::vector<std::string> types(static_cast<size_t>(n_layers), "conv");
  for (const int64_t i : indices) types[static_cast<size_t>(i)] = "full_attention";
  return types;
}

// config.json states a width from which that of the tensors follows: two thirds of it, times a factor, rounded up.
Result<void> check_ffn_width(const ModelFile& file, const ModelConfig& config) {
  constexpr int64_t kMost = int64_t{1} << 24;
  const ConfigKey old_key{"", "block_ff_dim"}, new_key{"", "intermediate_size"};
  const ConfigKey key = file.has(old_key) ? old_key : new_key;
  if (!file.has(key)) return {};
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated, file.integer(key, 1, kMost));
  int64_t width = stated;
  ORRERY_ASSIGN_OR_RETURN(const bool adjusts, file.boolean({"", "block_auto_adjust_ff_dim"}, true));
  if (adjusts) {
    ORRERY_ASSIGN_OR_RETURN(const double factor, file.number({"", "block_ffn_dim_multiplier"}, 1.0));
    ORRERY_ASSIGN_OR_RETURN(const int64_t multiple, file.integer({"", "block_multiple_of"}, 1, kMost, 256));
    const double scaled = std::clamp(factor * static_cast<double>(2 * stated / 3), 0.0, static_cast<double>(kMost));
    width = (static_cast<int64_t>(scaled) + multiple - 1) / multiple * multiple;
  }
  for (const LayerConfig& layer : config.layers) {
    if (layer.feed_forward != FeedForwardKind::kDense || layer.d_ffn == width) continue;
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(key) + " must give the " +
                                              std::to_string(layer.d_ffn) +
                                              " rows of the feed-forward's weights, but gives " +
                                              std::to_string(width) + ": " + std::to_string(stated)};
  }
  return {};
}

}  // namespace

Result<void> read_lfm2_operators(const ModelFile& file, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> types, read_layer_types(file, config.n_layers()));
  ORRERY_RETURN_IF_ERROR(read_lfm_mixers(file, types, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, lfm_traits(), kLfm2Attention, config));
  return read_rotation(file, kRope, config);
}

Result<ModelConfig> read_lfm2_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_experts(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_lfm_sizes(file));
  ORRERY_RETURN_IF_ERROR(read_lfm2_operators(file, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, lfm_traits(), kLfmFfn, config));
  ORRERY_RETURN_IF_ERROR(check_ffn_width(file, config));
  return config;
}

Result<ModelParts> build_lfm2(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, lfm_traits().names);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kLfmMixerNorm, layer);
    norms.before_ffn = decoder.norm(kLfmFfnNorm, layer);
    decoder.add(std::make_unique<ResidualBlock>(norms, lfm_mixer(decoder, layer, kLfm2Attention),
                                                decoder.dense_ffn(layer, kLfmFfn)));
  }
  return decoder.finish();
}

}  // namespace orrery
