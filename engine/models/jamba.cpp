#include "engine/models/jamba.h"

#include "engine/blocks/residual_block.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/mamba_layers.h"
#include "engine/models/moe_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.names = {.output_norm = {"output_norm.weight", "model.final_layernorm.weight"}}};
constexpr MambaKeys kMambaKeys{.taps = {"ssm.conv_kernel", "mamba_d_conv"},
                               .d_inner = {"ssm.inner_size", ""},
                               .d_state = {"ssm.state_size", "mamba_d_state"},
                               .rank = {"ssm.time_step_rank", "mamba_dt_rank"},
                               .expansion = {"", "mamba_expand"},
                               .bias = "mamba_proj_bias",
                               .taps_bias = "mamba_conv_bias"};
constexpr MambaNames kMamba{.in = {"blk.{}.ssm_in.weight", "model.layers.{}.mamba.in_proj.weight"},
                            .in_bias = {"blk.{}.ssm_in.bias", "model.layers.{}.mamba.in_proj.bias"},
                            .taps = {"blk.{}.ssm_conv1d.weight", "model.layers.{}.mamba.conv1d.weight"},
                            .taps_bias = {"blk.{}.ssm_conv1d.bias", "model.layers.{}.mamba.conv1d.bias"},
                            .project = {"blk.{}.ssm_x.weight", "model.layers.{}.mamba.x_proj.weight"},
                            .time_step = {"blk.{}.ssm_dt.weight", "model.layers.{}.mamba.dt_proj.weight"},
                            .time_step_bias = {"blk.{}.ssm_dt.bias", "model.layers.{}.mamba.dt_proj.bias"},
                            .log_decay = {"blk.{}.ssm_a", "model.layers.{}.mamba.A_log"},
                            .skip = {"blk.{}.ssm_d", "model.layers.{}.mamba.D"},
                            .out = {"blk.{}.ssm_out.weight", "model.layers.{}.mamba.out_proj.weight"},
                            .out_bias = {"blk.{}.ssm_out.bias", "model.layers.{}.mamba.out_proj.bias"},
                            .delta_norm = {"blk.{}.ssm_dt_norm.weight", "model.layers.{}.mamba.dt_layernorm.weight"},
                            .b_norm = {"blk.{}.ssm_b_norm.weight", "model.layers.{}.mamba.b_layernorm.weight"},
                            .c_norm = {"blk.{}.ssm_c_norm.weight", "model.layers.{}.mamba.c_layernorm.weight"}};
constexpr FfnNames kFfn{.gate = {"blk.{}.ffn_gate.weight", "model.layers.{}.feed_forward.gate_proj.weight"},
                        .up = {"blk.{}.ffn_up.weight", "model.layers.{}.feed_forward.up_proj.weight"},
                        .down = {"blk.{}.ffn_down.weight", "model.layers.{}.feed_forward.down_proj.weight"}};
constexpr MoeNames kExperts{
    .router = {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.feed_forward.router.weight"},
    .gate_up = {"", "model.layers.{}.feed_forward.experts.gate_up_proj"},
    .down = {"blk.{}.ffn_down_exps.weight", "model.layers.{}.feed_forward.experts.down_proj"},
    .one_gate = {"blk.{}.ffn_gate.{expert}.weight", "model.layers.{}.feed_forward.experts.{expert}.gate_proj.weight"},
    .one_up = {"blk.{}.ffn_up.{expert}.weight", "model.layers.{}.feed_forward.experts.{expert}.up_proj.weight"},
    .one_down = {"blk.{}.ffn_down.{expert}.weight", "model.layers.{}.feed_forward.experts.{expert}.down_proj.weight"}};
constexpr MoeKeys kMoeKeys{.n_experts = {"expert_count", "num_experts"},
                           .n_experts_too = {},
                           .d_expert = {"expert_feed_forward_length", "intermediate_size"}};

// Every period-th layer, beginning with the offset-th.
struct Every {
  int64_t period = 1;
  int64_t offset = 0;
  bool has(int64_t layer) const { return layer % period == offset; }
};

Result<Every> read_every(const ModelFile& file, ConfigKey period_key, ConfigKey offset_key, Every usual) {
  Every every;
  ORRERY_ASSIGN_OR_RETURN(every.period, file.integer(period_key, 1, 1 << 20, usual.period));
  ORRERY_ASSIGN_OR_RETURN(every.offset, file.integer(offset_key, 0, every.period - 1, usual.offset));
  return every;
}

Result<void> read_mixers(const ModelFile& file, ModelConfig& config) {
  if (file.format() == ModelFile::Format::kGguf) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, layer_kinds_by_heads(file, config.n_layers()));
    for (size_t i = 0; i < kinds.size(); ++i) {
      config.layers[i].mixers = {kinds[i] == LayerKind::kAttention ? MixerKind::kAttention : MixerKind::kMatrixState};
    }
    return {};
  }
  ORRERY_ASSIGN_OR_RETURN(const Every attention,
                          read_every(file, {"", "attn_layer_period"}, {"", "attn_layer_offset"}, {8, 4}));
  for (size_t i = 0; i < config.layers.size(); ++i) {
    config.layers[i].mixers = {attention.has(static_cast<int64_t>(i)) ? MixerKind::kAttention
                                                                      : MixerKind::kMatrixState};
  }
  return {};
}

// A GGUF file shows by their routers which layers have experts. In a folder a single expert is a dense layer.
Result<void> read_feed_forwards(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kMostExperts = 1 << 16;
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_experts, file.integer(kMoeKeys.n_experts, 1, kMostExperts, is_gguf ? 1 : 16));
  ORRERY_ASSIGN_OR_RETURN(const Every experts,
                          read_every(file, {"", "expert_layer_period"}, {"", "expert_layer_offset"}, {2, 1}));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    const bool has_experts = is_gguf ? file.find(kExperts.router, i) != nullptr : n_experts > 1 && experts.has(i);
    config.layers[static_cast<size_t>(i)].feed_forward = has_experts ? FeedForwardKind::kMoe : FeedForwardKind::kDense;
  }
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kTraits, kFfn, config));
  ORRERY_RETURN_IF_ERROR(check_ffn_widths(file, "intermediate_size", config));
  return read_moe_layers(file, kMoeKeys, kExperts, {.score = RouterScore::kSoftmax}, config);
}

}  // namespace

Result<ModelConfig> read_jamba_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  ORRERY_ASSIGN_OR_RETURN(config.context_length,
                          file.integer({"context_length", "max_position_embeddings"}, 0, int64_t{1} << 40, 0));
  ORRERY_RETURN_IF_ERROR(read_mixers(file, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, {}, config));
  ORRERY_RETURN_IF_ERROR(read_mamba_layers(file, kMambaKeys, kMamba, config));
  ORRERY_RETURN_IF_ERROR(read_feed_forwards(file, config));
  return config;
}

Result<ModelParts> build_jamba(const ModelFile& file, ModelConfig config, const Placement& placement) {
  constexpr TensorName kMixerNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
  constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.pre_ff_layernorm.weight"};
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, kTraits.names);
  for (int32_t i = 0; i < decoder.n_layers(); ++i) {
    const LayerConfig& layer = decoder.layer_config(i);
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, i);
    norms.before_ffn = decoder.norm(kFfnNorm, i);
    auto mixer = layer.has(MixerKind::kAttention)
                     ? decoder.attention(i)
                     : mamba_mixer(decoder, i, kMamba, MambaNorms::kWeighted, decoder.norm_epsilon());
    auto feed_forward =
        layer.feed_forward == FeedForwardKind::kMoe ? moe_ffn(decoder, i, kExperts) : decoder.dense_ffn(i, kFfn);
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), std::move(feed_forward)));
  }
  return decoder.finish();
}

}  // namespace orrery
