#include "engine/models/nemotron_h.h"

#include <utility>

#include "engine/blocks/dense_ffn.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/mamba2_layers.h"
#include "engine/models/moe_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.activation_key = "mlp_hidden_act",
                                .activation = Activation::kReluSquared,
                                .epsilon_key = {"attention.layer_norm_rms_epsilon", "layer_norm_epsilon"},
                                .usual_epsilon = 1e-5,
                                .names = {.embedding = {"token_embd.weight", "model.embeddings.weight"},
                                          .output_norm = {"output_norm.weight", "model.norm_f.weight"}}};
constexpr TensorName kNorm{"blk.{}.attn_norm.weight", "model.layers.{}.norm.weight"};
constexpr Mamba2Names kMamba{.in = {"blk.{}.ssm_in.weight", "model.layers.{}.mixer.in_proj.weight"},
                             .in_bias = {"blk.{}.ssm_in.bias", "model.layers.{}.mixer.in_proj.bias"},
                             .taps = {"blk.{}.ssm_conv1d.weight", "model.layers.{}.mixer.conv1d.weight"},
                             .taps_bias = {"blk.{}.ssm_conv1d.bias", "model.layers.{}.mixer.conv1d.bias"},
                             .time_step_bias = {"blk.{}.ssm_dt.bias", "model.layers.{}.mixer.dt_bias"},
                             .log_decay = {"blk.{}.ssm_a", "model.layers.{}.mixer.A_log"},
                             .skip = {"blk.{}.ssm_d", "model.layers.{}.mixer.D"},
                             .norm = {"blk.{}.ssm_norm.weight", "model.layers.{}.mixer.norm.weight"},
                             .out = {"blk.{}.ssm_out.weight", "model.layers.{}.mixer.out_proj.weight"},
                             .out_bias = {"blk.{}.ssm_out.bias", "model.layers.{}.mixer.out_proj.bias"}};
constexpr AttentionNames kAttention{.q = {"blk.{}.attn_q.weight", "model.layers.{}.mixer.q_proj.weight"},
                                    .k = {"blk.{}.attn_k.weight", "model.layers.{}.mixer.k_proj.weight"},
                                    .v = {"blk.{}.attn_v.weight", "model.layers.{}.mixer.v_proj.weight"},
                                    .output = {"blk.{}.attn_output.weight", "model.layers.{}.mixer.o_proj.weight"},
                                    .q_bias = {"blk.{}.attn_q.bias", "model.layers.{}.mixer.q_proj.bias"},
                                    .k_bias = {"blk.{}.attn_k.bias", "model.layers.{}.mixer.k_proj.bias"},
                                    .v_bias = {"blk.{}.attn_v.bias", "model.layers.{}.mixer.v_proj.bias"},
                                    .output_bias = {"blk.{}.attn_output.bias", "model.layers.{}.mixer.o_proj.bias"}};
constexpr FfnNames kFfn{.up = {"blk.{}.ffn_up.weight", "model.layers.{}.mixer.up_proj.weight"},
                        .down = {"blk.{}.ffn_down.weight", "model.layers.{}.mixer.down_proj.weight"},
                        .up_bias = {"blk.{}.ffn_up.bias", "model.layers.{}.mixer.up_proj.bias"},
                        .down_bias = {"blk.{}.ffn_down.bias", "model.layers.{}.mixer.down_proj.bias"}};
constexpr FfnNames kShared{
    .up = {"blk.{}.ffn_up_shexp.weight", "model.layers.{}.mixer.shared_experts.up_proj.weight"},
    .down = {"blk.{}.ffn_down_shexp.weight", "model.layers.{}.mixer.shared_experts.down_proj.weight"},
    .up_bias = {"blk.{}.ffn_up_shexp.bias", "model.layers.{}.mixer.shared_experts.up_proj.bias"},
    .down_bias = {"blk.{}.ffn_down_shexp.bias", "model.layers.{}.mixer.shared_experts.down_proj.bias"}};
constexpr MoeNames kExperts{
    .router = {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.mixer.gate.weight"},
    .is_gated = false,
    .up = {"blk.{}.ffn_up_exps.weight", "model.layers.{}.mixer.experts.up_proj"},
    .down = {"blk.{}.ffn_down_exps.weight", "model.layers.{}.mixer.experts.down_proj"},
    .one_up = {"blk.{}.ffn_up.{expert}.weight", "model.layers.{}.mixer.experts.{expert}.up_proj.weight"},
    .one_down = {"blk.{}.ffn_down.{expert}.weight", "model.layers.{}.mixer.experts.{expert}.down_proj.weight"}};
constexpr TensorName kSelectionBias{"blk.{}.exp_probs_b.bias", "model.layers.{}.mixer.gate.e_score_correction_bias"};
constexpr TensorName kToLatent{"blk.{}.ffn_latent_down.weight", "model.layers.{}.mixer.fc1_latent_proj.weight"};
constexpr TensorName kToLatentBias{"blk.{}.ffn_latent_down.bias", "model.layers.{}.mixer.fc1_latent_proj.bias"};
constexpr TensorName kFromLatent{"blk.{}.ffn_latent_up.weight", "model.layers.{}.mixer.fc2_latent_proj.weight"};
constexpr TensorName kFromLatentBias{"blk.{}.ffn_latent_up.bias", "model.layers.{}.mixer.fc2_latent_proj.bias"};

constexpr MoeKeys kMoeKeys{.n_experts = {"expert_count", "n_routed_experts"}, .n_experts_too = {}};
constexpr ConfigKey kSharedWidth{"expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size"};
constexpr ConfigKey kLatentWidth{"moe_latent_size", "moe_latent_size"};
constexpr ConfigKey kPattern{"", "hybrid_override_pattern"};
constexpr ConfigKey kKinds[] = {{"", "layers_block_type"}, {"", "layer_types"}};
constexpr LayerWord kWords[] = {{"mamba", LayerKind::kState},         {"linear_attention", LayerKind::kState},
                                {"attention", LayerKind::kAttention}, {"full_attention", LayerKind::kAttention},
                                {"mlp", LayerKind::kFeedForward},     {"moe", LayerKind::kExperts}};
constexpr LayerWord kLetters[] = {
    {"M", LayerKind::kState}, {"*", LayerKind::kAttention}, {"-", LayerKind::kFeedForward}, {"E", LayerKind::kExperts}};
constexpr int64_t kMostLayers = 4096;

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }

// Some settings had other names at first.
Mamba2Keys mamba_keys(const ModelFile& file) {
  const auto either = [&](ConfigKey now, std::string_view once) {
    const ConfigKey earlier{now.gguf, once};
    return file.has({"", once}) ? earlier : now;
  };
  return {.taps = either({"ssm.conv_kernel", "conv_kernel"}, "mamba_d_conv"),
          .d_state = {"ssm.state_size", "ssm_state_size"},
          .n_heads = {"ssm.time_step_rank", "mamba_num_heads"},
          .d_head = {"", "mamba_head_dim"},
          .n_groups = either({"ssm.group_count", "n_groups"}, "mamba_n_groups"),
          .time_steps = {},
          .activation = "mamba_hidden_act",
          .usual_groups = 8};
}

// config.json may leave the number of layers to the list of them.
Result<int64_t> listed_layers(const ModelFile& file) {
  for (const ConfigKey key : kKinds) {
    if (file.has(key)) return file.list_length(key, kMostLayers);
  }
  ORRERY_ASSIGN_OR_RETURN(const std::string pattern, file.text(kPattern));
  const auto n_layers = static_cast<int64_t>(pattern.size());
  if (n_layers >= 1 && n_layers <= kMostLayers) return n_layers;
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(kPattern) + " must have 1 to " +
                                            std::to_string(kMostLayers) + " letters, but has " +
                                            std::to_string(n_layers) + ": " + pattern.substr(0, 60)};
}

// A GGUF file has no list: what a layer is, its tensors say.
LayerKind kind_by_tensors(const ModelFile& file, int32_t layer) {
  if (file.find(kMamba.in, layer) != nullptr) return LayerKind::kState;
  if (file.find(kAttention.q, layer) != nullptr) return LayerKind::kAttention;
  return file.find(kExperts.router, layer) != nullptr ? LayerKind::kExperts : LayerKind::kFeedForward;
}

Result<std::vector<LayerKind>> read_kinds(const ModelFile& file, int32_t n_layers) {
  std::vector<LayerKind> kinds;
  if (is_gguf(file)) {
    for (int32_t i = 0; i < n_layers; ++i) kinds.push_back(kind_by_tensors(file, i));
    return kinds;
  }
  ORRERY_ASSIGN_OR_RETURN(kinds, read_layer_kinds(file, kKinds, kWords, n_layers));
  return kinds.empty() ? read_layer_pattern(file, kPattern, kLetters, n_layers) : kinds;
}

void set_kinds(const std::vector<LayerKind>& kinds, Activation activation, ModelConfig& config) {
  for (size_t i = 0; i < kinds.size(); ++i) {
    LayerConfig& layer = config.layers[i];
    layer.activation = activation;
    layer.feed_forward = FeedForwardKind::kNone;
    if (kinds[i] == LayerKind::kState) layer.mixers = {MixerKind::kMatrixState};
    if (kinds[i] == LayerKind::kAttention) layer.mixers = {MixerKind::kAttention};
    if (kinds[i] == LayerKind::kFeedForward) layer.feed_forward = FeedForwardKind::kDense;
    if (kinds[i] == LayerKind::kExperts) layer.feed_forward = FeedForwardKind::kMoe;
  }
}

// The width that the routed experts read and write; d_model where there is no space of their own.
Result<int64_t> expert_input(const ModelFile& file, int32_t layer, int64_t d_model) {
  if (file.find(kToLatent, layer) == nullptr && !file.has(kLatentWidth)) return d_model;
  ORRERY_ASSIGN_OR_RETURN(const TensorView to_latent, file.tensor(kToLatent, layer, {-1, d_model}));
  ORRERY_RETURN_IF_ERROR(
      check_stated(file, kLatentWidth, to_latent.n_rows(), "the rows of " + file.spelled(kToLatent, layer)));
  return to_latent.n_rows();
}

Result<void> read_experts(const ModelFile& file, ModelConfig& config) {
  int64_t d_in = config.d_model;
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (layer.feed_forward != FeedForwardKind::kMoe) continue;
    ORRERY_ASSIGN_OR_RETURN(d_in, expert_input(file, i, config.d_model));
    ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(kShared.up, i, {-1, config.d_model}));
    layer.moe.d_shared = up.n_rows();
    ORRERY_RETURN_IF_ERROR(check_stated(file, kSharedWidth, up.n_rows(), "the rows of " + file.spelled(kShared.up, i)));
  }
  ORRERY_ASSIGN_OR_RETURN(const RouterConfig router, read_sigmoid_router(file, {}));
  ORRERY_RETURN_IF_ERROR(read_moe_layers(file, kMoeKeys, kExperts, router, config, d_in));
  return check_groups(file, {}, kMoeKeys, config);
}

std::unique_ptr<FeedForward> plain_ffn(DecoderBuilder& decoder, int32_t layer, const FfnNames& names, int64_t width) {
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model;
  DenseFfnWeights weights;
  weights.up = place.matrix(names.up, layer, width, d_model);
  weights.down = place.matrix(names.down, layer, d_model, width);
  weights.up_bias = place.optional_vector(names.up_bias, layer, width);
  weights.down_bias = place.optional_vector(names.down_bias, layer, d_model);
  return std::make_unique<DenseFfn>(decoder.layer_config(layer).activation, weights);
}

Result<std::unique_ptr<FeedForward>> experts(const ModelFile& file, DecoderBuilder& decoder, int32_t layer) {
  TensorPlacer& place = decoder.place();
  const LayerConfig& config = decoder.layer_config(layer);
  const int64_t d_model = decoder.config().d_model;
  ORRERY_ASSIGN_OR_RETURN(const int64_t d_in, expert_input(file, layer, d_model));
  MoeWeights weights = moe_weights(decoder, layer, kExperts, d_in);
  weights.selection_bias = place.optional_vector(kSelectionBias, layer, config.moe.router.n_experts);
  if (file.find(kToLatent, layer) != nullptr) {
    weights.to_latent = place.matrix(kToLatent, layer, d_in, d_model);
    weights.from_latent = place.matrix(kFromLatent, layer, d_model, d_in);
    weights.to_latent_bias = place.optional_vector(kToLatentBias, layer, d_in);
    weights.from_latent_bias = place.optional_vector(kFromLatentBias, layer, d_model);
  }
  return std::unique_ptr<FeedForward>(std::make_unique<MoeFfn>(
      config.moe, config.activation, std::move(weights), plain_ffn(decoder, layer, kShared, config.moe.d_shared)));
}

// The class limits steps of time from below by time_step_min, and does not read time_step_limit; a GGUF file has none.
Result<std::unique_ptr<Mixer>> state_mixer(const ModelFile& file, DecoderBuilder& decoder, int32_t layer) {
  ORRERY_ASSIGN_OR_RETURN(Mamba2Config config, mamba2_config(file, mamba_keys(file), decoder.config(), layer));
  if (!is_gguf(file)) {
    const ConfigKey earlier{"", "mamba_dt_min"}, now{"", "time_step_min"};
    ORRERY_ASSIGN_OR_RETURN(const double least, file.number(file.has(earlier) ? earlier : now, 1e-3));
    config.time_steps.least = static_cast<float>(least);
  }
  return std::unique_ptr<Mixer>(std::make_unique<Mamba2Mixer>(config, mamba2_weights(decoder, layer, kMamba)));
}

}  // namespace

Result<ModelConfig> read_nemotron_h_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  DecoderTraits traits = kTraits;
  if (!is_gguf(file)) {
    ORRERY_ASSIGN_OR_RETURN(traits.n_layers, listed_layers(file));
  }
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, traits));
  config.tied_embedding = file.find(kOutput) == nullptr;  // the class ties nothing itself
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, read_kinds(file, config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(const Activation activation, read_activation(file, kTraits));
  set_kinds(kinds, activation, config);
  ORRERY_RETURN_IF_ERROR(read_mamba2_layers(file, mamba_keys(file), kMamba, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, kAttention, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kTraits, kFfn, config));
  ORRERY_RETURN_IF_ERROR(read_experts(file, config));
  ORRERY_ASSIGN_OR_RETURN(config.context_length,
                          file.integer({"context_length", "max_position_embeddings"}, 0, int64_t{1} << 40, 0));
  return config;
}

Result<ModelParts> build_nemotron_h(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, kTraits.names);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    const LayerConfig& of_layer = decoder.layer_config(layer);
    const TensorView norm = decoder.norm(kNorm, layer);
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    std::unique_ptr<Mixer> mixer;
    std::unique_ptr<FeedForward> feed_forward;
    if (of_layer.has(MixerKind::kMatrixState)) {
      ORRERY_ASSIGN_OR_RETURN(mixer, state_mixer(file, decoder, layer));
    } else if (of_layer.has(MixerKind::kAttention)) {
      mixer = decoder.attention(layer, kAttention);
    } else if (of_layer.feed_forward == FeedForwardKind::kMoe) {
      ORRERY_ASSIGN_OR_RETURN(feed_forward, experts(file, decoder, layer));
    } else {
      feed_forward = plain_ffn(decoder, layer, kFfn, of_layer.d_ffn);
    }
    (mixer != nullptr ? norms.before_mixer : norms.before_ffn) = norm;
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), std::move(feed_forward)));
  }
  return decoder.finish();
}

}  // namespace orrery
