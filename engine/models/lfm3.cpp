#include "engine/models/lfm3.h"

#include "engine/blocks/residual_block.h"
#include "engine/models/lfm_layers.h"
#include "engine/models/rope_scaling.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr TensorName kGate{"", "model.layers.{}.self_attn.gate_proj.weight"};
constexpr TensorName kGateInMemory{"", "model.layers.{}.self_attn.g_proj.weight"};  // as the class calls it
constexpr TensorName kAfterMixer{"", "model.layers.{}.post_operator_norm.weight"};
constexpr TensorName kAfterFfn{"", "model.layers.{}.post_ffn_norm.weight"};

std::string_view usual_type(int32_t layer) {
  if (layer % 4 == 2) return "full_attention";
  return layer % 4 == 0 && layer > 0 ? "sliding_attention" : "conv";
}

Result<void> read_windows(const ModelFile& file, const std::vector<std::string>& types, ModelConfig& config) {
  constexpr int64_t kUsualWindow = 256;  // of transformers' Lfm3Config
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, kUsualWindow));
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] != "sliding_attention") continue;
    if (window == 0) {
      return Error{ErrorCode::kInvalidFile,
                   file.path() + ": sliding_window must be the window of layer " + std::to_string(i) + ", but is 0"};
    }
    config.layers[i].attention.window = window;
  }
  return {};
}

Result<void> check_attention_biases(const ModelFile& file, const ModelConfig& config) {
  const AttentionNames names;
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (!config.layers[static_cast<size_t>(i)].has(MixerKind::kAttention)) continue;
    for (const TensorName bias : {names.q_bias, names.k_bias, names.v_bias, names.output_bias}) {
      ORRERY_RETURN_IF_ERROR(check_bias(file, "attention_bias", bias, i));
    }
  }
  return {};
}

// Where config.json says nothing of rotations: those of the class, half of the pairs in full layers.
Result<void> read_lfm3_rotation(const ModelFile& file, ModelConfig& config) {
  constexpr RopeKind kFull{.layer_type = "full_attention", .default_base = 1e6};
  constexpr RopeKind kWindowed{.layer_type = "sliding_attention", .default_base = 1e4};
  ORRERY_RETURN_IF_ERROR(read_rotation(file, kFull, kWindowed, config));
  if (file.has({"", "rope_parameters"}) || file.has({"", "rope_scaling"}) || file.has({"", "rope_theta"})) return {};
  for (LayerConfig& layer : config.layers) {
    AttentionConfig& attention = layer.attention;
    if (!layer.has(MixerKind::kAttention) || attention.window > 0) continue;
    RopeScaling half;
    half.kind = RopeScalingKind::kProportional;
    half.base = kFull.default_base;
    half.d_head = attention.d_head_k;
    half.n_rot = 2 * (attention.d_head_k / 4);
    fill_rope(half, attention.rope);
  }
  return {};
}

}  // namespace

Result<ModelConfig> read_lfm3_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_experts(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_lfm_sizes(file));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> types,
                          lfm_layer_types(file, config.n_layers(), true, usual_type));
  ORRERY_RETURN_IF_ERROR(read_lfm_mixers(file, types, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, lfm_traits(), {}, config));
  ORRERY_RETURN_IF_ERROR(check_attention_biases(file, config));
  ORRERY_RETURN_IF_ERROR(read_windows(file, types, config));
  ORRERY_RETURN_IF_ERROR(read_lfm3_rotation(file, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, lfm_traits(), kLfmFfn, config));
  ORRERY_RETURN_IF_ERROR(check_ffn_widths(file, "intermediate_size", config));
  ORRERY_ASSIGN_OR_RETURN(const bool has_gates, file.boolean({"", "use_attention_gate"}, true));
  for (LayerConfig& layer : config.layers) {
    layer.attention.gate = has_gates ? AttentionGate::kHead : AttentionGate::kNone;
  }
  return config;
}

Result<ModelParts> build_lfm3(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(const bool norms_after, file.boolean({"", "use_sandwich_norm"}, true));
  AttentionNames names;
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, lfm_traits().names);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kLfmMixerNorm, layer);
    norms.before_ffn = decoder.norm(kLfmFfnNorm, layer);
    if (norms_after) {
      norms.after_mixer = decoder.norm(kAfterMixer, layer);
      norms.after_ffn = decoder.norm(kAfterFfn, layer);
    }
    names.gate = file.find(kGateInMemory, layer) != nullptr ? kGateInMemory : kGate;
    decoder.add(
        std::make_unique<ResidualBlock>(norms, lfm_mixer(decoder, layer, names), decoder.dense_ffn(layer, kLfmFfn)));
  }
  return decoder.finish();
}

}  // namespace orrery
