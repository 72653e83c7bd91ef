#include "engine/models/rwkv7.h"

#include <cmath>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/channel_mix.h"
#include "engine/blocks/layer_norm_block.h"
#include "engine/blocks/rwkv7_time_mix.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderNames kNames{.embedding = {"token_embd.weight", "model.embeddings.weight"}};
constexpr DecoderTraits kTraits{
    .epsilon_key = {"attention.layer_norm_epsilon", "norm_eps"}, .usual_epsilon = 1e-5, .names = kNames};

struct NormNames {
  TensorName weight, bias;
};
constexpr NormNames kStreamNorm{{"token_embd_norm.weight", "model.layers.0.pre_norm.weight"},
                                {"token_embd_norm.bias", "model.layers.0.pre_norm.bias"}};
constexpr NormNames kMixerNorm{{"blk.{}.attn_norm.weight", "model.layers.{}.attn_norm.weight"},
                               {"blk.{}.attn_norm.bias", "model.layers.{}.attn_norm.bias"}};
constexpr NormNames kFfnNorm{{"blk.{}.attn_norm_2.weight", "model.layers.{}.ffn_norm.weight"},
                             {"blk.{}.attn_norm_2.bias", "model.layers.{}.ffn_norm.bias"}};
constexpr NormNames kHeadNorm{{"blk.{}.time_mix_ln.weight", "model.layers.{}.attn.g_norm.weight"},
                              {"blk.{}.time_mix_ln.bias", "model.layers.{}.attn.g_norm.bias"}};
constexpr TensorName kOutputNormBias{"output_norm.bias", "model.norm.bias"};

// All mixtures as one, as GGUF and the first folders have them, or one by one: r, w, k, v, a, g.
constexpr TensorName kMixtures{"blk.{}.time_mix_lerp_fused.weight", "model.layers.{}.attn.x_x"};
constexpr TensorName kMixture[] = {{"", "model.layers.{}.attn.x_r"}, {"", "model.layers.{}.attn.x_w"},
                                   {"", "model.layers.{}.attn.x_k"}, {"", "model.layers.{}.attn.x_v"},
                                   {"", "model.layers.{}.attn.x_a"}, {"", "model.layers.{}.attn.x_g"}};
constexpr TensorName kR{"blk.{}.time_mix_receptance.weight", "model.layers.{}.attn.r_proj.weight"};
constexpr TensorName kK{"blk.{}.time_mix_key.weight", "model.layers.{}.attn.k_proj.weight"};
constexpr TensorName kV{"blk.{}.time_mix_value.weight", "model.layers.{}.attn.v_proj.weight"};
constexpr TensorName kOut{"blk.{}.time_mix_output.weight", "model.layers.{}.attn.o_proj.weight"};
constexpr TensorName kEraseKey{"blk.{}.time_mix_k_k.weight", "model.layers.{}.attn.k_k"};
constexpr TensorName kKeyRate{"blk.{}.time_mix_k_a.weight", "model.layers.{}.attn.k_a"};
constexpr TensorName kBonus{"blk.{}.time_mix_r_k.weight", "model.layers.{}.attn.r_k"};

struct LowRankNames {
  TensorName down, up, bias;
  ConfigKey rank;
};
constexpr LowRankNames kDecay{{"blk.{}.time_mix_w1.weight", "model.layers.{}.attn.w_lora.lora.0.weight"},
                              {"blk.{}.time_mix_w2.weight", "model.layers.{}.attn.w_lora.lora.2.weight"},
                              {"blk.{}.time_mix_w0.weight", "model.layers.{}.attn.w_lora.lora.2.bias"},
                              {"attention.decay_lora_rank", "decay_low_rank_dim"}};
constexpr LowRankNames kRate{{"blk.{}.time_mix_a1.weight", "model.layers.{}.attn.a_lora.lora.0.weight"},
                             {"blk.{}.time_mix_a2.weight", "model.layers.{}.attn.a_lora.lora.2.weight"},
                             {"blk.{}.time_mix_a0.weight", "model.layers.{}.attn.a_lora.lora.2.bias"},
                             {"attention.iclr_lora_rank", "a_low_rank_dim"}};
constexpr LowRankNames kValue{{"blk.{}.time_mix_v1.weight", "model.layers.{}.attn.v_lora.lora.0.weight"},
                              {"blk.{}.time_mix_v2.weight", "model.layers.{}.attn.v_lora.lora.2.weight"},
                              {"blk.{}.time_mix_v0.weight", "model.layers.{}.attn.v_lora.lora.2.bias"},
                              {"attention.value_residual_mix_lora_rank", "v_low_rank_dim"}};
constexpr LowRankNames kGate{{"blk.{}.time_mix_g1.weight", "model.layers.{}.attn.g_lora.lora.0.weight"},
                             {"blk.{}.time_mix_g2.weight", "model.layers.{}.attn.g_lora.lora.2.weight"},
                             {},
                             {"attention.gate_lora_rank", "gate_low_rank_dim"}};

constexpr TensorName kFfnMix{"blk.{}.channel_mix_lerp_k.weight", "model.layers.{}.ffn.x_k"};
constexpr TensorName kFfnUp{"blk.{}.channel_mix_key.weight", "model.layers.{}.ffn.key.weight"};
constexpr TensorName kFfnDown{"blk.{}.channel_mix_value.weight", "model.layers.{}.ffn.value.weight"};

constexpr ConfigKey kHeadWidth{"wkv.head_size", "head_dim"}, kHeads{"", "num_heads"}, kValueWidth{"", "value_dim"};
constexpr int64_t kMostHeadWidth = 16384;
constexpr int64_t kMostWidth = int64_t{1} << 24;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, int64_t value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + std::to_string(value)};
}

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }

// The rows of a projection of the stream.
Result<int64_t> n_channels_of(const ModelFile& file, TensorName name, int32_t layer, int64_t d_model) {
  ORRERY_ASSIGN_OR_RETURN(const TensorView weight, file.tensor(name, layer, {-1, d_model}));
  const int64_t n = weight.n_rows();
  if (n >= 1 && n <= kMostWidth) return n;
  return must(file, "the rows of " + file.spelled(name, layer), "be a number of channels", n);
}

// The stated width of a head, or that of as many as are stated.
Result<int64_t> read_head_width(const ModelFile& file, int64_t key_width) {
  constexpr int64_t kUsualWidth = 64;  // the class's
  if (is_gguf(file)) return file.integer(kHeadWidth, 1, kMostHeadWidth);
  if (!file.is_null(kHeadWidth)) return file.integer(kHeadWidth, 1, kMostHeadWidth, kUsualWidth);
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(kHeads, 1, key_width));
  if (key_width % n_heads == 0 && key_width / n_heads <= kMostHeadWidth) return key_width / n_heads;
  return must(file, file.spelled(kHeads), "divide the " + std::to_string(key_width) + " channels of keys", n_heads);
}

Result<void> read_time_mix(const ModelFile& file, int32_t layer, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t key_width, n_channels_of(file, kR, layer, config.d_model));
  ORRERY_ASSIGN_OR_RETURN(const int64_t value_width, n_channels_of(file, kV, layer, config.d_model));
  ORRERY_ASSIGN_OR_RETURN(const int64_t d_key, read_head_width(file, key_width));
  if (key_width % d_key != 0) {
    return must(file, file.spelled(kHeadWidth),
                "divide the " + std::to_string(key_width) + " rows of " + file.spelled(kR, layer), d_key);
  }
  const int64_t n_heads = key_width / d_key;
  const std::string rows = "the rows of " + file.spelled(kV, layer);
  if (value_width % n_heads != 0 || value_width / n_heads > kMostHeadWidth) {
    return must(file, rows, "be a multiple of the " + std::to_string(n_heads) + " heads", value_width);
  }
  LayerConfig& of_layer = config.layers[static_cast<size_t>(layer)];
  of_layer.mixers = {MixerKind::kMatrixState};
  of_layer.state.recurrence = Recurrence::kRwkv7;
  of_layer.state.sizes = {.n_heads = static_cast<int32_t>(n_heads),
                          .n_groups = static_cast<int32_t>(n_heads),
                          .d_key = static_cast<int32_t>(d_key),
                          .d_value = static_cast<int32_t>(value_width / n_heads)};
  of_layer.state.n_stat_heads = static_cast<int32_t>(n_heads);
  const MatrixStateSizes& first = config.layers.front().state.sizes;
  const int64_t first_width = int64_t{first.n_heads} * first.d_value;
  if (value_width == first_width) return {};
  return must(file, rows, "be the " + std::to_string(first_width) + " of layer 0, whose values are mixed in",
              value_width);
}

Result<void> check_value_widths(const ModelFile& file, const ModelConfig& config) {
  if (!file.has(kValueWidth)) return {};
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> widths,
                          file.integers_per_layer(kValueWidth, config.n_layers(), 1, kMostWidth));
  const MatrixStateSizes& sizes = config.layers.front().state.sizes;
  const int64_t actual = int64_t{sizes.n_heads} * sizes.d_value;
  for (const int64_t stated : widths) {
    if (stated == actual) continue;
    return must(file, file.spelled(kValueWidth),
                "be " + std::to_string(actual) + ", the rows of " + file.spelled(kV, 0), stated);
  }
  return {};
}

Result<void> check_ranks(const ModelFile& file, const ModelConfig& config) {
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    for (const LowRankNames* names : {&kDecay, &kRate, &kValue, &kGate}) {
      if (names == &kValue && i == 0) continue;  // it mixes nothing in; what files have there is of another rank
      ORRERY_ASSIGN_OR_RETURN(const TensorView down, file.tensor(names->down, i, {-1, config.d_model}));
      ORRERY_RETURN_IF_ERROR(
          check_stated(file, names->rank, down.n_rows(), "the rows of " + file.spelled(names->down, i)));
    }
  }
  return {};
}

Result<void> check_settings(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "attn"}));
  const ConfigKey key{"", "hidden_act"};
  ORRERY_ASSIGN_OR_RETURN(const std::string name, file.text(key, "sqrelu"));
  if (name != "sqrelu" && name != "relu2") {
    return Error{ErrorCode::kUnsupported,
                 file.path() + ": " + file.spelled(key) + " must be sqrelu, but is " + name.substr(0, 60)};
  }
  if (is_gguf(file)) return {};
  const bool is_there = file.find(kStreamNorm.weight) != nullptr;
  ORRERY_ASSIGN_OR_RETURN(const bool stated, file.boolean({"", "norm_first"}, true));
  if (stated == is_there) return {};
  return Error{ErrorCode::kInvalidFile,
               file.path() + ": norm_first must be " + (is_there ? "true, as there is " : "false, as there is no ") +
                   file.spelled(kStreamNorm.weight) + ", but is " + (stated ? "true" : "false")};
}

// The weights of a layer.
class LayerBuilder {
 public:
  // norm_bias: whether layer norms add something.
  LayerBuilder(DecoderBuilder& decoder, int32_t layer, bool norm_bias)
      : place_(decoder.place()),
        layer_(layer),
        norm_bias_(norm_bias),
        d_model_(decoder.config().d_model),
        config_(decoder.layer_config(layer)) {}

  LayerNormWeights norm(const NormNames& names) {
    LayerNormWeights weights;
    weights.weight = place_.vector(names.weight, layer_, d_model_);
    if (norm_bias_) weights.bias = place_.vector(names.bias, layer_, d_model_);
    return weights;
  }

  Rwkv7Weights time_mix() {
    const MatrixStateSizes& sizes = config_.state.sizes;
    const int64_t key_width = int64_t{sizes.n_heads} * sizes.d_key;
    const int64_t value_width = int64_t{sizes.n_heads} * sizes.d_value;
    Rwkv7Weights weights;
    weights.mix = mixtures();
    weights.r = place_.matrix(kR, layer_, key_width, d_model_);
    weights.k = place_.matrix(kK, layer_, key_width, d_model_);
    weights.v = place_.matrix(kV, layer_, value_width, d_model_);
    weights.out = place_.matrix(kOut, layer_, d_model_, value_width);
    weights.decay = low_rank(kDecay, key_width);
    weights.rate = low_rank(kRate, key_width);
    weights.gate = low_rank(kGate, value_width);
    if (layer_ > 0) {
      weights.value = low_rank(kValue, value_width);
    } else {
      for (const TensorName name : {kValue.down, kValue.up, kValue.bias}) place_.skip(name, layer_);
    }
    weights.erase_key = numbers(kEraseKey, {key_width});
    std::vector<float> rates = place_.values(kKeyRate, layer_, key_width);
    weights.key_rate = place_.made(rates, {key_width});
    for (float& rate : rates) rate = 1.0f - rate;
    weights.key_rest = place_.made(std::move(rates), {key_width});
    weights.bonus = numbers(kBonus, {key_width});
    weights.norm = numbers(kHeadNorm.weight, {sizes.n_heads, sizes.d_value});
    weights.norm_bias = numbers(kHeadNorm.bias, {sizes.n_heads, sizes.d_value});
    weights.log_decay = repeated(-std::exp(-0.5), sizes.n_heads);
    weights.unit = repeated(1.0 / std::sqrt(sizes.d_key), sizes.d_key);
    return weights;
  }

  ChannelMixWeights channel_mix() {
    return {.mix = numbers(kFfnMix, {d_model_}),
            .up = place_.matrix(kFfnUp, layer_, config_.d_ffn, d_model_),
            .down = place_.matrix(kFfnDown, layer_, d_model_, config_.d_ffn)};
  }

 private:
  // All numbers of a tensor, which files store in one of several shapes.
  TensorView numbers(TensorName name, const Shape& shape) {
    return place_.made(place_.values(name, layer_, shape.n_elements()), shape);
  }
  TensorView repeated(double value, int64_t n) {
    return place_.made(std::vector<float>(static_cast<size_t>(n), static_cast<float>(value)), {n});
  }

  TensorView mixtures() {
    constexpr int64_t kMixes = std::size(kMixture);
    const ModelFile& file = place_.file();
    if (is_gguf(file) || file.find(kMixtures, layer_) != nullptr) return numbers(kMixtures, {kMixes, d_model_});
    std::vector<float> all;
    for (const TensorName name : kMixture) {
      const std::vector<float> one = place_.values(name, layer_, d_model_);
      if (one.empty()) return {};
      all.insert(all.end(), one.begin(), one.end());
    }
    return place_.made(std::move(all), {kMixes, d_model_});
  }

  Rwkv7LowRank low_rank(const LowRankNames& names, int64_t n_out) {
    const StoredTensor* stored = place_.file().find(names.down, layer_);
    const int64_t rank = stored == nullptr ? 1 : stored->shape[0];
    Rwkv7LowRank weights;
    weights.map.down = place_.matrix(names.down, layer_, rank, d_model_);
    weights.map.up = place_.matrix(names.up, layer_, n_out, rank);
    if (!names.bias.hf.empty()) weights.bias = place_.vector(names.bias, layer_, n_out);
    return weights;
  }

  TensorPlacer& place_;
  int32_t layer_;
  bool norm_bias_;
  int64_t d_model_;
  const LayerConfig& config_;
};

// What the norms within a head add to mean squares. GGUF files follow llama.cpp, whose numbers are those of heads
// of 64.
struct Epsilons {
  float unit = 0.0f;
  float head_norm = 0.0f;
};
Result<Epsilons> read_epsilons(const ModelFile& file, float norm_epsilon, int32_t d_key) {
  constexpr double kLeastLength = 1e-12, kFusedSquare = 1e-6;
  constexpr float kHeadNormOfGguf = 64e-5f;
  ORRERY_ASSIGN_OR_RETURN(const bool is_fused, file.boolean({"", "fuse_norm"}, !is_gguf(file)));
  const double squares = is_fused ? kFusedSquare : kLeastLength * kLeastLength;
  return Epsilons{.unit = static_cast<float>(squares / d_key),
                  .head_norm = is_gguf(file) ? kHeadNormOfGguf : static_cast<float>(d_key) * norm_epsilon};
}

}  // namespace

Result<ModelConfig> read_rwkv7_config(const ModelFile& file) {
  constexpr int64_t kMostPositions = int64_t{1} << 40;
  ORRERY_RETURN_IF_ERROR(check_settings(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  ORRERY_ASSIGN_OR_RETURN(config.context_length,
                          file.integer({"context_length", "max_position_embeddings"}, 0, kMostPositions, 0));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    ORRERY_RETURN_IF_ERROR(read_time_mix(file, i, config));
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.feed_forward = FeedForwardKind::kChannelMix;
    layer.activation = Activation::kReluSquared;
    ORRERY_ASSIGN_OR_RETURN(layer.d_ffn, n_channels_of(file, kFfnUp, i, config.d_model));
    ORRERY_RETURN_IF_ERROR(check_stated(file, {"feed_forward_length", "intermediate_size"}, layer.d_ffn,
                                        "the rows of " + file.spelled(kFfnUp, i)));
  }
  ORRERY_RETURN_IF_ERROR(check_value_widths(file, config));
  ORRERY_RETURN_IF_ERROR(check_ranks(file, config));
  return config;
}

Result<ModelParts> build_rwkv7(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, kNames);
  const bool has_bias = is_gguf(file) || file.find(kOutputNormBias) != nullptr;
  ORRERY_ASSIGN_OR_RETURN(const bool norm_bias, file.boolean({"", "norm_bias"}, has_bias));
  const bool norms_stream = is_gguf(file) || file.find(kStreamNorm.weight) != nullptr;
  for (int32_t i = 0; i < decoder.n_layers(); ++i) {
    LayerBuilder layer(decoder, i, norm_bias);
    const MatrixStateConfig& state = decoder.layer_config(i).state;
    ORRERY_ASSIGN_OR_RETURN(const Epsilons epsilons, read_epsilons(file, decoder.norm_epsilon(), state.sizes.d_key));
    LayerNormBlockConfig norms{.stream = {}, .mixer = {}, .ffn = {}, .epsilon = decoder.norm_epsilon()};
    if (i == 0 && norms_stream) norms.stream = layer.norm(kStreamNorm);
    norms.mixer = layer.norm(kMixerNorm);
    norms.ffn = layer.norm(kFfnNorm);
    const Rwkv7Config time_mix{
        .state = state, .unit_epsilon = epsilons.unit, .norm_epsilon = epsilons.head_norm, .is_first = i == 0};
    decoder.add(std::make_unique<LayerNormBlock>(norms, std::make_unique<Rwkv7TimeMix>(time_mix, layer.time_mix()),
                                                 std::make_unique<ChannelMix>(layer.channel_mix())));
  }
  const MatrixStateSizes sizes = decoder.layer_config(0).state.sizes;
  TensorView bias;
  if (norm_bias) bias = decoder.place().vector(kOutputNormBias, -1, decoder.config().d_model);
  ORRERY_ASSIGN_OR_RETURN(ModelParts parts, decoder.finish());
  parts.output_norm_kind = NormKind::kLayer;
  parts.output_norm_bias = bias;
  parts.carried_width = int64_t{sizes.n_heads} * sizes.d_value;
  return parts;
}

}  // namespace orrery
