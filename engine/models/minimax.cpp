#include "engine/models/minimax.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/linear_attention.h"
#include "engine/blocks/normed_stream_block.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/mixtral.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr TensorName kQkv{"", "model.layers.{}.self_attn.qkv_proj.weight"};  // q, k, v of a head, then of the next
constexpr TensorName kGate{"", "model.layers.{}.self_attn.output_gate.weight"};
constexpr TensorName kNorm{"", "model.layers.{}.self_attn.norm.weight"};
constexpr TensorName kOut{"", "model.layers.{}.self_attn.out_proj.weight"};
constexpr TensorName kSlopes{"", "model.layers.{}.self_attn.slope_rate"};
// Tables that follow from the slopes; transformers saves them.
constexpr TensorName kTables[] = {{"", "model.layers.{}.self_attn.query_decay"},
                                  {"", "model.layers.{}.self_attn.key_decay"},
                                  {"", "model.layers.{}.self_attn.diagonal_decay"}};
constexpr TensorName kMixerNorm{"", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"", "model.layers.{}.post_attention_layernorm.weight"};
constexpr float kLightningEpsilon = 1e-6f;  // fixed in the class

// Every other layer where there is no list, from the second on.
Result<void> read_mixers(const ModelFile& file, ModelConfig& config) {
  constexpr ConfigKey kKeys[] = {{"", "layer_types"}};
  constexpr LayerWord kWords[] = {{"full_attention", LayerKind::kAttention}, {"linear_attention", LayerKind::kState}};
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, read_layer_kinds(file, kKeys, kWords, config.n_layers()));
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const bool has_state = kinds.empty() ? i % 2 == 1 : kinds[i] == LayerKind::kState;
    config.layers[i].mixers = {has_state ? MixerKind::kMatrixState : MixerKind::kAttention};
  }
  return {};
}

Result<void> read_lightning(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kMostHeads = 4096, kMostWidth = 16384;
  constexpr ConfigKey kHeads{"", "num_attention_heads"}, kHeadWidth{"", "head_dim"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(kHeads, 1, kMostHeads));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!layer.has(MixerKind::kMatrixState)) continue;
    ORRERY_ASSIGN_OR_RETURN(const TensorView qkv, file.tensor(kQkv, i, {-1, config.d_model}));
    const int64_t width = qkv.n_rows() / (3 * n_heads);
    const std::string rows = "rows of " + file.spelled(kQkv, i);
    if (width < 1 || width > kMostWidth || qkv.n_rows() != width * 3 * n_heads) {
      return Error{ErrorCode::kInvalidFile, file.path() + ": num_attention_heads must divide the " +
                                                std::to_string(qkv.n_rows()) + " " + rows +
                                                " into queries, keys and values, but is " + std::to_string(n_heads)};
    }
    ORRERY_RETURN_IF_ERROR(check_stated(file, kHeadWidth, width, "the " + rows + " for a head's part"));
    const auto heads = static_cast<int32_t>(n_heads), d_head = static_cast<int32_t>(width);
    layer.state.recurrence = Recurrence::kLightning;
    layer.state.sizes = {.n_heads = heads, .n_groups = heads, .d_key = d_head, .d_value = d_head};
    layer.state.n_stat_heads = heads;
  }
  return {};
}

// ln of what a head keeps of its state: as the file has it, else a geometric series over the heads that is flatter the
// deeper the layer.
TensorView log_decays(DecoderBuilder& decoder, int32_t layer, int32_t n_heads) {
  TensorPlacer& place = decoder.place();
  std::vector<float> decays = place.optional_values(kSlopes, layer, n_heads);
  if (place.file().find(kSlopes, layer) == nullptr) {
    const double depth = static_cast<double>(layer) / (static_cast<double>(decoder.n_layers()) - 1.0 + 1e-5);
    for (int32_t h = 0; h < n_heads; ++h) {
      const double slope = std::exp2(-8.0 * (h + 1.0) / n_heads) * (1.0 - depth + 1e-5);
      decays.push_back(static_cast<float>(slope));
    }
  }
  for (float& decay : decays) decay = -decay;
  for (const TensorName table : kTables) place.skip(table, layer);
  return place.made(std::move(decays), {n_heads});
}

std::unique_ptr<Mixer> lightning_attention(DecoderBuilder& decoder, int32_t layer) {
  const LayerConfig& spec = decoder.layer_config(layer);
  const MatrixStateSizes& sizes = spec.state.sizes;
  const int64_t d_model = decoder.config().d_model, d_head = sizes.d_key, width = sizes.n_heads * d_head;
  TensorPlacer& place = decoder.place();
  const auto part = [&](int64_t which) {
    std::vector<int64_t> rows;
    for (int64_t h = 0; h < sizes.n_heads; ++h) {
      for (int64_t i = 0; i < d_head; ++i) rows.push_back((3 * h + which) * d_head + i);
    }
    return place.matrix_rows(kQkv, layer, 3 * width, d_model, rows);
  };
  LinearAttentionConfig config;
  config.state = spec.state;
  config.input_activation = spec.activation;
  config.gate_activation = Activation::kSigmoid;
  config.norm_epsilon = kLightningEpsilon;
  LinearAttentionWeights weights;
  weights.q = part(0);
  weights.k = part(1);
  weights.v = part(2);
  weights.gate = place.matrix(kGate, layer, width, d_model);
  weights.log_decay = log_decays(decoder, layer, sizes.n_heads);
  weights.norm = place.vector(kNorm, layer, width);
  weights.out = place.matrix(kOut, layer, d_model, width);
  return std::make_unique<LinearAttention>(config, weights);
}

Result<StreamFactors> read_factors(const ModelFile& file, const std::string& of) {
  const std::string keep = of + "_alpha_factor", add = of + "_beta_factor";
  ORRERY_ASSIGN_OR_RETURN(const double keep_factor, file.number({"", keep}, 1.0));
  ORRERY_ASSIGN_OR_RETURN(const double add_factor, file.number({"", add}, 1.0));
  return StreamFactors{static_cast<float>(keep_factor), static_cast<float>(add_factor)};
}

}  // namespace

Result<ModelConfig> read_minimax_config(const ModelFile& file) {
  constexpr DecoderTraits kTraits{.usual_epsilon = 1e-5};
  constexpr double kUsualBase = 1e6;
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  ORRERY_ASSIGN_OR_RETURN(const Activation activation, read_activation(file, kTraits));
  ORRERY_RETURN_IF_ERROR(read_mixers(file, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, {}, config));
  ORRERY_RETURN_IF_ERROR(read_lightning(file, config));
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, 0));
  for (LayerConfig& layer : config.layers) {
    layer.feed_forward = FeedForwardKind::kMoe;
    layer.activation = activation;
    if (layer.has(MixerKind::kAttention)) layer.attention.window = window;
  }
  const MoeKeys keys{.d_expert = {"", "intermediate_size"}};
  const RouterConfig router{.score = RouterScore::kSoftmax, .renormalise = true};
  ORRERY_RETURN_IF_ERROR(read_moe_layers(file, keys, mixtral_names(file), router, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {.default_base = kUsualBase}, config));
  for (const char* part : {"full_attn", "linear_attn", "mlp"}) {
    ORRERY_RETURN_IF_ERROR(read_factors(file, part));
  }
  return config;
}

Result<ModelParts> build_minimax(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(const StreamFactors softmax, read_factors(file, "full_attn"));
  ORRERY_ASSIGN_OR_RETURN(const StreamFactors lightning, read_factors(file, "linear_attn"));
  ORRERY_ASSIGN_OR_RETURN(const StreamFactors ffn, read_factors(file, "mlp"));
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    const bool has_state = decoder.layer_config(layer).has(MixerKind::kMatrixState);
    NormedStreamConfig stream{.epsilon = decoder.norm_epsilon()};
    stream.mixer_norm = decoder.norm(kMixerNorm, layer);
    stream.ffn_norm = decoder.norm(kFfnNorm, layer);
    stream.mixer = has_state ? lightning : softmax;
    stream.ffn = ffn;
    decoder.add(std::make_unique<NormedStreamBlock>(
        stream, has_state ? lightning_attention(decoder, layer) : decoder.attention(layer),
        moe_ffn(decoder, layer, mixtral_names(file))));
  }
  return decoder.finish();
}

}  // namespace orrery
