#include "engine/models/orrery_hybrid.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/blocks/gated_loop.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/mamba2_layers.h"
#include "engine/models/moe_layers.h"
#include "engine/models/stated_sizes.h"
#include "engine/models/ttt_layers.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.qk_norm = true, .tied_embedding = true, .usual_epsilon = 1e-5};
constexpr TensorName kNorm{"", "model.layers.{}.norm.weight"};
constexpr Mamba2Names kMamba{.in = {"", "model.layers.{}.mixer.in_proj.weight"},
                             .in_bias = {"", "model.layers.{}.mixer.in_proj.bias"},
                             .taps = {"", "model.layers.{}.mixer.conv1d.weight"},
                             .taps_bias = {"", "model.layers.{}.mixer.conv1d.bias"},
                             .time_step_bias = {"", "model.layers.{}.mixer.dt_bias"},
                             .log_decay = {"", "model.layers.{}.mixer.A_log"},
                             .skip = {"", "model.layers.{}.mixer.D"},
                             .norm = {"", "model.layers.{}.mixer.norm.weight"},
                             .out = {"", "model.layers.{}.mixer.out_proj.weight"},
                             .out_bias = {"", "model.layers.{}.mixer.out_proj.bias"}};
constexpr Mamba2Keys kMambaKeys{.taps = {"", "conv_kernel"},
                                .d_state = {"", "state_size"},
                                .n_heads = {"", "mamba_num_heads"},
                                .d_head = {"", "mamba_head_dim"},
                                .n_groups = {"", "n_groups"},
                                .time_steps = {},
                                .activation = ""};
constexpr AttentionNames kAttention{.q = {"", "model.layers.{}.mixer.q_proj.weight"},
                                    .k = {"", "model.layers.{}.mixer.k_proj.weight"},
                                    .v = {"", "model.layers.{}.mixer.v_proj.weight"},
                                    .output = {"", "model.layers.{}.mixer.o_proj.weight"},
                                    .q_bias = {},
                                    .k_bias = {},
                                    .v_bias = {},
                                    .output_bias = {},
                                    .q_norm = {"", "model.layers.{}.mixer.q_norm.weight"},
                                    .k_norm = {"", "model.layers.{}.mixer.k_norm.weight"}};
constexpr TttNames kTtt{.q = {"", "model.layers.{}.mixer.q_proj.weight"},
                        .k = {"", "model.layers.{}.mixer.k_proj.weight"},
                        .v = {"", "model.layers.{}.mixer.v_proj.weight"},
                        .out = {"", "model.layers.{}.mixer.o_proj.weight"},
                        .gate = {"", "model.layers.{}.mixer.g_proj.weight"},
                        .q_taps = {},
                        .q_taps_bias = {},
                        .k_taps = {},
                        .k_taps_bias = {},
                        .rate = {"", "model.layers.{}.mixer.learnable_ttt_lr_weight"},
                        .rate_bias = {"", "model.layers.{}.mixer.learnable_ttt_lr_bias"},
                        .share = {"", "model.layers.{}.mixer.learnable_token_idx"},
                        .norm = {"", "model.layers.{}.mixer.ttt_norm_weight"},
                        .norm_bias = {"", "model.layers.{}.mixer.ttt_norm_bias"},
                        .post = {"", "model.layers.{}.mixer.post_norm.weight"},
                        .post_bias = {"", "model.layers.{}.mixer.post_norm.bias"},
                        .w1 = {"", "model.layers.{}.mixer.W1"},
                        .b1 = {"", "model.layers.{}.mixer.b1"},
                        .w2 = {},
                        .b2 = {}};
constexpr TttKeys kTttKeys{.n_heads = {"", "ttt_num_heads"},
                           .batch_size = {"", "ttt_mini_batch_size"},
                           .base_rate = {"", "ttt_base_lr"},
                           .theta = {"", "ttt_rope_theta"},
                           .taps = {}};
constexpr TttKind kTttKind{.model = FastModel::kLinear, .shares_qk = false, .has_gate = true};
constexpr FfnNames kFfn{.gate = {"", "model.layers.{}.mixer.gate_proj.weight"},
                        .up = {"", "model.layers.{}.mixer.up_proj.weight"},
                        .down = {"", "model.layers.{}.mixer.down_proj.weight"},
                        .gate_bias = {},
                        .up_bias = {},
                        .down_bias = {}};
constexpr MoeNames kExpertNames{.router = {"", "model.layers.{}.mixer.router.weight"},
                                .router_bias = {},
                                .gate = {"", "model.layers.{}.mixer.experts.gate_proj"},
                                .up = {"", "model.layers.{}.mixer.experts.up_proj"},
                                .gate_up = {"", "model.layers.{}.mixer.experts.gate_up_proj"},
                                .down = {"", "model.layers.{}.mixer.experts.down_proj"},
                                .one_gate = {"", "model.layers.{}.mixer.experts.{expert}.gate_proj.weight"},
                                .one_up = {"", "model.layers.{}.mixer.experts.{expert}.up_proj.weight"},
                                .one_down = {"", "model.layers.{}.mixer.experts.{expert}.down_proj.weight"}};
constexpr MoeKeys kExpertKeys{.n_experts = {"", "num_experts"}, .n_experts_too = {}};
constexpr TensorName kKeep{"", "model.loop.keep"};
constexpr TensorName kInject{"", "model.loop.inject"};
constexpr TensorName kGateNorm{"", "model.loop.gate.norm.weight"};
constexpr TensorName kGateUp{"", "model.loop.gate.up_proj.weight"};
constexpr TensorName kGateUpBias{"", "model.loop.gate.up_proj.bias"};
constexpr TensorName kGateDown{"", "model.loop.gate.down_proj.weight"};
constexpr TensorName kGateDownBias{"", "model.loop.gate.down_proj.bias"};

constexpr ConfigKey kLayerTypes{"", "layer_types"};
constexpr ConfigKey kLoopLayers{"", "loop_layers"};
constexpr ConfigKey kLoops{"", "num_loops"};
constexpr ConfigKey kThreshold{"", "exit_threshold"};
constexpr ConfigKey kScale{"", "attention_scale"};
constexpr ConfigKey kEmbeddingScale{"", "embedding_multiplier"};

enum class Part : uint8_t { kMamba2, kFullAttention, kSlidingAttention, kTttLinear, kExperts, kFeedForward };
constexpr std::array<std::pair<std::string_view, Part>, 6> kParts{{{"mamba2", Part::kMamba2},
                                                                   {"full_attention", Part::kFullAttention},
                                                                   {"sliding_attention", Part::kSlidingAttention},
                                                                   {"ttt_linear", Part::kTttLinear},
                                                                   {"moe", Part::kExperts},
                                                                   {"mlp", Part::kFeedForward}}};

Error must(const ModelFile& file, ConfigKey key, const std::string& rule, double value) {
  return {ErrorCode::kInvalidFile,
          file.path() + ": " + file.spelled(key) + " must " + rule + ", but is " + std::to_string(value)};
}

Result<Part> part_of(const ModelFile& file, const std::string& word) {
  std::string known;
  for (const auto& [name, part] : kParts) {
    if (name == word) return part;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(kLayerTypes) + " may have " + known +
                                            ", but has " + word.substr(0, 60)};
}

Result<void> set_parts(const ModelFile& file, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> words, file.texts_per_layer(kLayerTypes, config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, 0));
  for (size_t i = 0; i < words.size(); ++i) {
    ORRERY_ASSIGN_OR_RETURN(const Part part, part_of(file, words[i]));
    LayerConfig& layer = config.layers[i];
    layer.feed_forward = part == Part::kExperts       ? FeedForwardKind::kMoe
                         : part == Part::kFeedForward ? FeedForwardKind::kDense
                                                      : FeedForwardKind::kNone;
    if (part == Part::kMamba2) layer.mixers = {MixerKind::kMatrixState};
    if (part == Part::kTttLinear) layer.mixers = {MixerKind::kFastWeights};
    if (part != Part::kFullAttention && part != Part::kSlidingAttention) continue;
    layer.mixers = {MixerKind::kAttention};
    if (part == Part::kFullAttention) continue;
    if (window < 1) return must(file, {"", "sliding_window"}, "be the window of layer " + std::to_string(i), 0);
    layer.attention.window = window;
  }
  return {};
}

// The scale of scores, where it is not 1 / sqrt of a head's width.
Result<void> set_scale(const ModelFile& file, ModelConfig& config) {
  if (!file.has(kScale)) return {};
  ORRERY_ASSIGN_OR_RETURN(const double scale, file.number(kScale));
  if (!(scale > 0.0 && scale <= 1e6)) return must(file, kScale, "be above 0 and at most 1e6", scale);
  for (LayerConfig& layer : config.layers) layer.attention.scale = static_cast<float>(scale);
  return {};
}

Result<LoopConfig> read_loop(const ModelFile& file, const ModelConfig& config) {
  constexpr int64_t kMostLoops = 256;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_loops, file.integer(kLoops, 1, kMostLoops, 1));
  if (n_loops == 1 && file.find(kKeep) == nullptr) return LoopConfig{};
  if (n_loops == 1) return must(file, kLoops, "be more than 1 where there is " + file.spelled(kKeep), 1);
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> bounds, file.integers(kLoopLayers, 2, 0, config.n_layers()));
  if (bounds.size() != 2 || bounds[0] >= bounds[1]) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + file.spelled(kLoopLayers) + " must be [first, one past the last] of its layers"};
  }
  LoopConfig loop{.begin = static_cast<int32_t>(bounds[0]),
                  .end = static_cast<int32_t>(bounds[1]),
                  .n_iterations = static_cast<int32_t>(n_loops),
                  .fill = ExitFill::kFrozen,
                  .has_gate = file.find(kGateUp) != nullptr};
  if (!loop.has_gate) return loop;
  ORRERY_ASSIGN_OR_RETURN(const double threshold, file.number(kThreshold, 0.5));
  if (!(threshold > 0.0)) return must(file, kThreshold, "be above 0", threshold);
  loop.rule = ExitRule::kGate;
  loop.threshold = static_cast<float>(threshold);
  return loop;
}

// The width inside the gate. Its scratch is what the layers have for a residual, so it is at most that wide.
Result<int64_t> gate_width(const ModelFile& file, int64_t d_model) {
  ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(kGateUp, -1, {-1, d_model}));
  if (up.n_rows() >= 1 && up.n_rows() <= d_model) return up.n_rows();
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(kGateUp) + " must have 1 to " +
                                            std::to_string(d_model) + " rows, but has " + std::to_string(up.n_rows())};
}

Result<GatedLoopWeights> loop_weights(const ModelFile& file, DecoderBuilder& decoder) {
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model;
  GatedLoopWeights weights;
  weights.keep = place.made(place.values(kKeep, -1, d_model), {1, d_model});
  weights.inject = place.made(place.values(kInject, -1, d_model), {1, d_model});
  if (!decoder.config().loop.has_gate) return weights;
  ORRERY_ASSIGN_OR_RETURN(const int64_t d_gate, gate_width(file, d_model));
  weights.gate_norm = place.vector(kGateNorm, -1, d_model);
  weights.gate_up = place.matrix(kGateUp, -1, d_gate, d_model);
  weights.up_bias = place.vector(kGateUpBias, -1, d_gate);
  weights.gate_down = place.matrix(kGateDown, -1, 1, d_gate);
  weights.down_bias = place.vector(kGateDownBias, -1, 1);
  return weights;
}

}  // namespace

Result<ModelConfig> read_orrery_hybrid_config(const ModelFile& file) {
  constexpr int64_t kMostLayers = 1024;
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  DecoderTraits traits = kTraits;
  ORRERY_ASSIGN_OR_RETURN(traits.n_layers, file.list_length(kLayerTypes, kMostLayers));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, traits));
  ORRERY_RETURN_IF_ERROR(set_parts(file, config));
  ORRERY_RETURN_IF_ERROR(read_mamba2_layers(file, kMambaKeys, kMamba, config));
  ORRERY_RETURN_IF_ERROR(read_ttt_layers(file, kTttKeys, kTtt, kTttKind, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, traits, kAttention, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  ORRERY_RETURN_IF_ERROR(set_scale(file, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, traits, kFfn, config));
  ORRERY_RETURN_IF_ERROR(read_moe_layers(file, kExpertKeys, kExpertNames, {.renormalise = true}, config));
  ORRERY_ASSIGN_OR_RETURN(const double scale, file.number(kEmbeddingScale, 1.0));
  config.embedding_scale = static_cast<float>(scale);
  ORRERY_ASSIGN_OR_RETURN(config.loop, read_loop(file, config));
  return config;
}

Result<ModelParts> build_orrery_hybrid(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    const LayerConfig& of_layer = decoder.layer_config(layer);
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    std::unique_ptr<Mixer> mixer;
    std::unique_ptr<FeedForward> feed_forward;
    if (of_layer.has(MixerKind::kMatrixState)) {
      ORRERY_ASSIGN_OR_RETURN(const Mamba2Config sizes, mamba2_config(file, kMambaKeys, decoder.config(), layer));
      mixer = std::make_unique<Mamba2Mixer>(sizes, mamba2_weights(decoder, layer, kMamba));
    } else if (of_layer.has(MixerKind::kFastWeights)) {
      ORRERY_ASSIGN_OR_RETURN(mixer, ttt_mixer(file, decoder, layer, kTttKeys, kTtt, kTttKind));
    } else if (of_layer.has(MixerKind::kAttention)) {
      mixer = decoder.attention(layer, kAttention);
    } else if (of_layer.feed_forward == FeedForwardKind::kMoe) {
      feed_forward = moe_ffn(decoder, layer, kExpertNames);
    } else {
      feed_forward = decoder.dense_ffn(layer, kFfn);
    }
    (mixer != nullptr ? norms.before_mixer : norms.before_ffn) = decoder.norm(kNorm, layer);
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), std::move(feed_forward)));
  }
  if (!decoder.config().loop.any()) return decoder.finish();
  ORRERY_ASSIGN_OR_RETURN(const GatedLoopWeights weights, loop_weights(file, decoder));
  ORRERY_ASSIGN_OR_RETURN(ModelParts parts, decoder.finish());
  parts.loop = std::make_unique<GatedLoop>(weights, parts.config.norm_epsilon);
  return parts;
}

}  // namespace orrery
