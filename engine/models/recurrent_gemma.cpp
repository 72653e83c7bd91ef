#include "engine/models/recurrent_gemma.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/residual_block.h"
#include "engine/blocks/rg_lru.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderNames kNames{.output_norm = {"", "model.final_norm.weight"}};
constexpr DecoderTraits kTraits{.tied_embedding = true,
                                .activation_key = "hidden_activation",
                                .activation = Activation::kGeluTanh,
                                .names = kNames};
constexpr RopeKind kRope{.usual_share = 0.5};

constexpr AttentionNames kAttention{.q = {"", "model.layers.{}.temporal_block.q_proj.weight"},
                                    .k = {"", "model.layers.{}.temporal_block.k_proj.weight"},
                                    .v = {"", "model.layers.{}.temporal_block.v_proj.weight"},
                                    .output = {"", "model.layers.{}.temporal_block.o_proj.weight"},
                                    .q_bias = {"", "model.layers.{}.temporal_block.q_proj.bias"},
                                    .k_bias = {"", "model.layers.{}.temporal_block.k_proj.bias"},
                                    .v_bias = {"", "model.layers.{}.temporal_block.v_proj.bias"},
                                    .output_bias = {"", "model.layers.{}.temporal_block.o_proj.bias"}};
constexpr FfnNames kFfn{.gate = {"", "model.layers.{}.mlp_block.gate_proj.weight"},
                        .up = {"", "model.layers.{}.mlp_block.up_proj.weight"},
                        .down = {"", "model.layers.{}.mlp_block.down_proj.weight"},
                        .gate_bias = {"", "model.layers.{}.mlp_block.gate_proj.bias"},
                        .up_bias = {"", "model.layers.{}.mlp_block.up_proj.bias"},
                        .down_bias = {"", "model.layers.{}.mlp_block.down_proj.bias"}};
constexpr TensorName kMixerNorm{"", "model.layers.{}.temporal_pre_norm.weight"};
constexpr TensorName kFfnNorm{"", "model.layers.{}.channel_pre_norm.weight"};
constexpr TensorName kX{"", "model.layers.{}.temporal_block.linear_x.weight"};
constexpr TensorName kXBias{"", "model.layers.{}.temporal_block.linear_x.bias"};
constexpr TensorName kY{"", "model.layers.{}.temporal_block.linear_y.weight"};
constexpr TensorName kYBias{"", "model.layers.{}.temporal_block.linear_y.bias"};
constexpr TensorName kOut{"", "model.layers.{}.temporal_block.linear_out.weight"};
constexpr TensorName kOutBias{"", "model.layers.{}.temporal_block.linear_out.bias"};
constexpr TensorName kTaps{"", "model.layers.{}.temporal_block.conv_1d.weight"};
constexpr TensorName kTapsBias{"", "model.layers.{}.temporal_block.conv_1d.bias"};
constexpr TensorName kDecay{"", "model.layers.{}.temporal_block.rg_lru.recurrent_param"};
constexpr TensorName kInputGate{"", "model.layers.{}.temporal_block.rg_lru.input_gate_weight"};
constexpr TensorName kInputBias{"", "model.layers.{}.temporal_block.rg_lru.input_gate_bias"};
constexpr TensorName kForgetGate{"", "model.layers.{}.temporal_block.rg_lru.recurrent_gate_weight"};
constexpr TensorName kForgetBias{"", "model.layers.{}.temporal_block.rg_lru.recurrent_gate_bias"};

constexpr ConfigKey kBlockTypes{"", "block_types"}, kLogitCap{"", "logits_soft_cap"};
// The class's settings where config.json has none.
constexpr int64_t kUsualWindow = 2048;
constexpr double kUsualLogitCap = 30.0;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, int64_t value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + std::to_string(value)};
}

// Whether each layer is attention: block_types over and over.
Result<std::vector<bool>> read_block_types(const ModelFile& file, int32_t n_layers) {
  constexpr int64_t kMostTypes = 4096;
  std::vector<bool> types = {false, false, true};
  if (file.has(kBlockTypes)) {
    ORRERY_ASSIGN_OR_RETURN(const int64_t n, file.list_length(kBlockTypes, kMostTypes));
    if (n == 0) return must(file, file.spelled(kBlockTypes), "have a type", 0);
    types.clear();
    for (int64_t i = 0; i < n; ++i) {
      const std::string key = std::string(kBlockTypes.hf) + "." + std::to_string(i);
      ORRERY_ASSIGN_OR_RETURN(const std::string type, file.text({"", key}));
      if (type != "recurrent" && type != "attention") {
        return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(kBlockTypes) +
                                                  " may have recurrent and attention, but has " + type.substr(0, 60)};
      }
      types.push_back(type == "attention");
    }
  }
  std::vector<bool> of_layers;
  for (size_t i = 0; i < static_cast<size_t>(n_layers); ++i) of_layers.push_back(types[i % types.size()]);
  return of_layers;
}

Result<void> read_recurrence(const ModelFile& file, int32_t i, int64_t d_model, LayerConfig& layer) {
  constexpr int64_t kMostWidth = int64_t{1} << 20, kMostBlocks = 4096;
  ORRERY_ASSIGN_OR_RETURN(const TensorView x, file.tensor(kX, i, {-1, d_model}));
  const int64_t width = x.n_rows();
  const std::string rows = "the rows of " + file.spelled(kX, i);
  if (width < 1 || width > kMostWidth) return must(file, rows, "be a number of channels", width);
  ORRERY_RETURN_IF_ERROR(check_stated(file, {"", "lru_width"}, width, rows));
  ORRERY_ASSIGN_OR_RETURN(const TensorView gates, file.tensor(kInputGate, i, {-1, -1, -1}));
  const int64_t n_blocks = gates.shape[0];
  if (n_blocks < 1 || n_blocks > kMostBlocks || width % n_blocks != 0) {
    return must(file, "the blocks of " + file.spelled(kInputGate, i),
                "divide the " + std::to_string(width) + " channels", n_blocks);
  }
  ORRERY_RETURN_IF_ERROR(
      check_stated(file, {"", "num_attention_heads"}, n_blocks, "the blocks of " + file.spelled(kInputGate, i)));
  layer.mixers = {MixerKind::kMatrixState};
  layer.conv.n_channels = width;
  ORRERY_ASSIGN_OR_RETURN(layer.conv.n_taps, read_taps(file, {"", "conv1d_width"}, kTaps, i, width));
  layer.state.recurrence = Recurrence::kRgLru;
  layer.state.sizes = {.n_heads = static_cast<int32_t>(width), .n_groups = 1, .d_key = 1, .d_value = 1};
  layer.state.n_stat_heads = static_cast<int32_t>(n_blocks);
  return {};
}

// The square root of the stream's width, rounded to bfloat16, as the class keeps it.
float embedding_scale(int64_t d_model) {
  const float root = std::sqrt(static_cast<float>(d_model));
  uint32_t bits = 0;
  std::memcpy(&bits, &root, sizeof bits);
  bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;  // to the nearest, ties to even
  float rounded = 0.0f;
  std::memcpy(&rounded, &bits, sizeof rounded);
  return rounded;
}

Result<void> check_rope(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "rope_scaling"}));
  const ConfigKey key{"", "rope_parameters.rope_type"};
  ORRERY_ASSIGN_OR_RETURN(const std::string type, file.text(key, "default"));
  if (type == "default") return {};
  return Error{ErrorCode::kUnsupported,
               file.path() + ": " + file.spelled(key) + " must be default, but is " + type.substr(0, 60)};
}

// The width that is stated counts gates and ups together.
Result<void> check_ffn(const ModelFile& file, const ModelConfig& config) {
  constexpr int64_t kMost = int64_t{1} << 40;
  const ConfigKey key{"", "intermediate_size"};
  for (const LayerConfig& layer : config.layers) {
    ORRERY_ASSIGN_OR_RETURN(const int64_t stated, file.integer(key, 0, kMost, 2 * layer.d_ffn));
    if (stated / 2 == layer.d_ffn) continue;
    return must(file, file.spelled(key), "be twice the " + std::to_string(layer.d_ffn) + " rows of the feed-forward",
                stated);
  }
  return {};
}

std::unique_ptr<Mixer> rg_lru(DecoderBuilder& decoder, int32_t i, Activation activation) {
  const LayerConfig& layer = decoder.layer_config(i);
  const int64_t d_model = decoder.config().d_model, width = layer.conv.n_channels;
  const int64_t n_blocks = layer.state.n_stat_heads, n = width / n_blocks;
  TensorPlacer& place = decoder.place();
  RgLruWeights weights;
  weights.x = place.matrix(kX, i, width, d_model);
  weights.x_bias = place.optional_vector(kXBias, i, width);
  weights.y = place.matrix(kY, i, width, d_model);
  weights.y_bias = place.optional_vector(kYBias, i, width);
  weights.out = place.matrix(kOut, i, d_model, width);
  weights.out_bias = place.optional_vector(kOutBias, i, d_model);
  weights.taps = place.taps(kTaps, i, width, layer.conv.n_taps);
  weights.taps_bias = place.optional_vector(kTapsBias, i, width);
  weights.input_gate = place.turned(kInputGate, i, n_blocks, n, n);
  weights.forget_gate = place.turned(kForgetGate, i, n_blocks, n, n);
  weights.input_bias = place.made(place.values(kInputBias, i, width), {n_blocks, n});
  weights.forget_bias = place.made(place.values(kForgetBias, i, width), {n_blocks, n});
  std::vector<float> logs = place.values(kDecay, i, width);
  for (float& log : logs)
    log = static_cast<float>(-8.0 * (std::log1p(std::exp(-std::fabs(double{log}))) + std::fmax(log, 0.0)));
  weights.log_decay = place.made(std::move(logs), {width});
  weights.one = place.made({1.0f}, {1});
  return std::make_unique<RgLru>(RgLruConfig{.conv = layer.conv, .state = layer.state, .activation = activation},
                                 std::move(weights));
}

}  // namespace

Result<ModelConfig> read_recurrent_gemma_config(const ModelFile& file) {
  constexpr int64_t kMostWindow = int64_t{1} << 31;
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(check_rope(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<bool> is_attention, read_block_types(file, config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(const int64_t window,
                          file.integer({"", "attention_window_size"}, 1, kMostWindow, kUsualWindow));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.feed_forward = FeedForwardKind::kDense;
    if (is_attention[static_cast<size_t>(i)]) {
      layer.mixers = {MixerKind::kAttention};
    } else {
      ORRERY_RETURN_IF_ERROR(read_recurrence(file, i, config.d_model, layer));
    }
  }
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, kAttention, config));
  for (LayerConfig& layer : config.layers) {
    if (layer.has(MixerKind::kAttention)) layer.attention.window = window;
  }
  ORRERY_RETURN_IF_ERROR(read_rotation(file, kRope, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kTraits, kFfn, config));
  ORRERY_RETURN_IF_ERROR(check_ffn(file, config));
  config.embedding_scale = embedding_scale(config.d_model);
  ORRERY_ASSIGN_OR_RETURN(const double cap, file.number(kLogitCap, kUsualLogitCap));
  if (!(cap > 0.0)) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + file.spelled(kLogitCap) + " must be positive, but is " + std::to_string(cap)};
  }
  config.logit_cap = static_cast<float>(cap);
  return config;
}

Result<ModelParts> build_recurrent_gemma(const ModelFile& file, ModelConfig config, const Placement& placement) {
  constexpr float kAddedToNorms = 1.0f;
  ORRERY_ASSIGN_OR_RETURN(const Activation activation, read_activation(file, kTraits));
  DecoderBuilder decoder(file, std::move(config), placement, kAddedToNorms, kNames);
  for (int32_t i = 0; i < decoder.n_layers(); ++i) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, i);
    norms.before_ffn = decoder.norm(kFfnNorm, i);
    const bool has_state = decoder.layer_config(i).has(MixerKind::kMatrixState);
    auto mixer = has_state ? rg_lru(decoder, i, activation) : decoder.attention(i, kAttention);
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), decoder.dense_ffn(i, kFfn)));
  }
  return decoder.finish();
}

}  // namespace orrery
