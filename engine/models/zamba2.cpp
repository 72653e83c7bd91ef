#include "engine/models/zamba2.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "engine/blocks/attention_mixer.h"
#include "engine/blocks/residual_block.h"
#include "engine/blocks/shared_transformer_block.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/mamba2_layers.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.tied_embedding = true,
                                .activation = Activation::kGelu,
                                .usual_epsilon = 1e-5,
                                .names = {.output_norm = {"", "model.final_layernorm.weight"}}};
constexpr Mamba2Keys kMambaKeys{.taps = {"", "mamba_d_conv"},
                                .d_state = {"", "mamba_d_state"},
                                .n_heads = {"", "n_mamba_heads"},
                                .d_head = {"", "mamba_headdim"},
                                .n_groups = {"", "mamba_ngroups"},
                                .expansion = {"", "mamba_expand"},
                                .time_steps = {},
                                .activation = {}};
// The recurrence of a layer with a transformer block.
constexpr Mamba2Names kInnerMamba{.in = {"", "model.layers.{}.mamba_decoder.mamba.in_proj.weight"},
                                  .in_bias = {"", "model.layers.{}.mamba_decoder.mamba.in_proj.bias"},
                                  .taps = {"", "model.layers.{}.mamba_decoder.mamba.conv1d.weight"},
                                  .taps_bias = {"", "model.layers.{}.mamba_decoder.mamba.conv1d.bias"},
                                  .time_step_bias = {"", "model.layers.{}.mamba_decoder.mamba.dt_bias"},
                                  .log_decay = {"", "model.layers.{}.mamba_decoder.mamba.A_log"},
                                  .skip = {"", "model.layers.{}.mamba_decoder.mamba.D"},
                                  .norm = {"", "model.layers.{}.mamba_decoder.mamba.norm.weight"},
                                  .out = {"", "model.layers.{}.mamba_decoder.mamba.out_proj.weight"},
                                  .out_bias = {"", "model.layers.{}.mamba_decoder.mamba.out_proj.bias"}};
constexpr TensorName kNorm{"", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kInnerNorm{"", "model.layers.{}.mamba_decoder.input_layernorm.weight"};
constexpr TensorName kProject{"", "model.layers.{}.linear.weight"};
constexpr std::string_view kShared = "model.layers.{}.shared_transformer.";
constexpr TensorName kAttentionNorm{"", "model.layers.{}.shared_transformer.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"", "model.layers.{}.shared_transformer.pre_ff_layernorm.weight"};
constexpr TensorName kQ{"", "model.layers.{}.shared_transformer.self_attn.q_proj.weight"};
constexpr TensorName kK{"", "model.layers.{}.shared_transformer.self_attn.k_proj.weight"};
constexpr TensorName kV{"", "model.layers.{}.shared_transformer.self_attn.v_proj.weight"};
constexpr TensorName kOutput{"", "model.layers.{}.shared_transformer.self_attn.o_proj.weight"};
constexpr TensorName kGateUp{"", "model.layers.{}.shared_transformer.feed_forward.gate_up_proj.weight"};
constexpr TensorName kGateUpBias{"", "model.layers.{}.shared_transformer.feed_forward.gate_up_proj.bias"};
constexpr TensorName kDown{"", "model.layers.{}.shared_transformer.feed_forward.down_proj.weight"};
constexpr TensorName kDownBias{"", "model.layers.{}.shared_transformer.feed_forward.down_proj.bias"};
constexpr float kGatedNormEpsilon = 1e-5f;  // of the recurrence, whatever the model's
constexpr int64_t kMostLayers = 4096;
constexpr int64_t kMostHeads = 4096;

// Where each layer with a transformer block has its weights: under its own name, or, where the file has none there, in
// the first layers that have a block, as many as there are different ones, in turn.
struct SharedPlace {
  int32_t occurrence = -1;  // counts the layers with a block; -1: this has none
  int32_t source = -1;      // the layer under whose name the weights are
};

Result<std::vector<LayerKind>> read_kinds(const ModelFile& file, int32_t n_layers) {
  constexpr ConfigKey kTypes[] = {{"", "layers_block_type"}, {"", "layer_types"}};
  constexpr LayerWord kWords[] = {
      {"mamba", LayerKind::kState}, {"linear_attention", LayerKind::kState}, {"hybrid", LayerKind::kHybrid}};
  constexpr int32_t kUsualLayers = 54;
  constexpr int32_t kUsualHybrids[] = {6, 12, 18, 24, 30, 36, 42, 47, 51};
  ORRERY_ASSIGN_OR_RETURN(std::vector<LayerKind> kinds, read_layer_kinds(file, kTypes, kWords, n_layers));
  if (!kinds.empty()) return kinds;
  if (n_layers != kUsualLayers) {
    ORRERY_RETURN_IF_ERROR(file.texts_per_layer(kTypes[0], n_layers));  // says that it is missing
  }
  kinds.assign(kUsualLayers, LayerKind::kState);
  for (const int32_t layer : kUsualHybrids) kinds[static_cast<size_t>(layer)] = LayerKind::kHybrid;
  return kinds;
}

Result<std::vector<SharedPlace>> shared_places(const ModelFile& file, const ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_blocks, file.integer({"", "num_mem_blocks"}, 1, kMostLayers, 1));
  std::vector<SharedPlace> places(config.layers.size());
  std::vector<int32_t> sources;
  int32_t occurrence = 0;
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (!config.layers[static_cast<size_t>(i)].has(MixerKind::kAttention)) continue;
    if (static_cast<int64_t>(sources.size()) < n_blocks) sources.push_back(i);
    const bool has_own = file.find(kQ, i) != nullptr;
    places[static_cast<size_t>(i)] = {.occurrence = occurrence,
                                      .source = has_own ? i : sources[static_cast<size_t>(occurrence % n_blocks)]};
    ++occurrence;
  }
  return places;
}

// Heads over twice the width of the stream.
Result<void> read_shared_attention(const ModelFile& file, const std::vector<SharedPlace>& places, ModelConfig& config) {
  constexpr ConfigKey kHeads{"", "num_attention_heads"}, kKvHeads{"", "num_key_value_heads"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(kHeads, 1, kMostHeads, 32));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_kv_heads, file.integer(kKvHeads, 1, kMostHeads, n_heads));
  const int64_t width = 2 * config.d_model;
  const auto must = [&](ConfigKey key, const std::string& rule, int64_t value) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + file.spelled(key) + " must divide " + rule + ", but is " + std::to_string(value)};
  };
  if (width % n_heads != 0) return must(kHeads, "twice the width of " + std::to_string(config.d_model), n_heads);
  if (n_heads % n_kv_heads != 0) return must(kKvHeads, "the " + std::to_string(n_heads) + " query heads", n_kv_heads);
  const auto d_head = static_cast<int32_t>(width / n_heads);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].source < 0) continue;
    ORRERY_RETURN_IF_ERROR(file.tensor(kQ, places[i].source, {n_heads * d_head, width}));
    ORRERY_RETURN_IF_ERROR(file.tensor(kK, places[i].source, {n_kv_heads * d_head, width}));
    AttentionConfig& attention = config.layers[i].attention;
    attention.n_heads = static_cast<int32_t>(n_heads);
    attention.n_kv_heads = static_cast<int32_t>(n_kv_heads);
    attention.d_head_k = attention.d_head_v = d_head;
    attention.scale = 1.0f / std::sqrt(static_cast<float>(d_head) / 2.0f);
  }
  ORRERY_ASSIGN_OR_RETURN(const bool turns, file.boolean({"", "use_mem_rope"}, false));
  if (turns) ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  ORRERY_ASSIGN_OR_RETURN(const int64_t length, file.integer({"", "max_position_embeddings"}, 0, int64_t{1} << 40, 0));
  if (config.context_length == 0) config.context_length = length;
  return {};
}

Result<void> read_shared_ffn(const ModelFile& file, const std::vector<SharedPlace>& places, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const Activation activation, read_activation(file, kTraits));
  for (size_t i = 0; i < places.size(); ++i) {
    LayerConfig& layer = config.layers[i];
    layer.feed_forward = FeedForwardKind::kNone;
    if (places[i].source < 0) continue;
    ORRERY_ASSIGN_OR_RETURN(const TensorView both, file.tensor(kGateUp, places[i].source, {-1, config.d_model}));
    if (both.n_rows() % 2 != 0) {
      return Error{ErrorCode::kInvalidFile, file.path() + ": the rows of " + file.spelled(kGateUp, places[i].source) +
                                                " must be gates and as many ups, but are " +
                                                std::to_string(both.n_rows())};
    }
    layer.feed_forward = FeedForwardKind::kDense;
    layer.d_ffn = both.n_rows() / 2;
    layer.activation = activation;
  }
  return {};
}

class Zamba2Builder {
 public:
  Zamba2Builder(const ModelFile& file, DecoderBuilder& decoder, std::vector<SharedPlace> places)
      : file_(file), decoder_(decoder), place_(decoder.place()), places_(std::move(places)) {}

  Result<std::unique_ptr<Block>> block(int32_t layer) {
    const SharedPlace& shared = places_[static_cast<size_t>(layer)];
    const bool is_plain = shared.source < 0;
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Mixer> mamba, recurrence(layer, is_plain ? kMamba2Part : kInnerMamba));
    if (is_plain) {
      BlockNorms norms{.epsilon = decoder_.norm_epsilon()};
      norms.before_mixer = decoder_.norm(kNorm, layer);
      return std::unique_ptr<Block>(std::make_unique<ResidualBlock>(norms, std::move(mamba), nullptr));
    }
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Mixer> attends, attention(layer, shared));
    SharedTransformerWeights weights;
    weights.embedding = decoder_.embedding();
    weights.attention_norm = place_.vector(kAttentionNorm, shared.source, 2 * decoder_.config().d_model);
    weights.ffn_norm = decoder_.norm(kFfnNorm, shared.source);
    weights.project = place_.matrix(kProject, layer, decoder_.config().d_model, decoder_.config().d_model);
    weights.mixer_norm = decoder_.norm(kInnerNorm, layer);
    return std::unique_ptr<Block>(
        std::make_unique<SharedTransformerBlock>(weights, decoder_.norm_epsilon(), decoder_.config().embedding_scale,
                                                 std::move(attends), feed_forward(layer, shared), std::move(mamba)));
  }

 private:
  // The class limits steps of time from below, whatever its kernels do.
  Result<std::unique_ptr<Mixer>> recurrence(int32_t layer, const Mamba2Names& names) {
    ORRERY_ASSIGN_OR_RETURN(Mamba2Config config, mamba2_config(file_, kMambaKeys, decoder_.config(), layer));
    ORRERY_ASSIGN_OR_RETURN(const double least, file_.number({"", "time_step_min"}, 1e-3));
    config.time_steps.least = static_cast<float>(least);
    config.norm_epsilon = kGatedNormEpsilon;
    return std::unique_ptr<Mixer>(std::make_unique<Mamba2Mixer>(config, mamba2_weights(decoder_, layer, names)));
  }

  // The list of a projection's adapters has an entry for each layer with a block.
  LowRank adapter(const SharedPlace& shared, std::string_view list, int64_t n_in, int64_t n_out) {
    const std::string entry = std::string(kShared) + std::string(list) + "." + std::to_string(shared.occurrence) + ".";
    const std::string down = entry + "0.weight", up = entry + "1.weight";
    const StoredTensor* stored = file_.find({"", down}, shared.source);
    const int64_t rank = stored != nullptr && stored->shape.rank() == 2 ? stored->shape[0] : 1;
    return {.down = place_.matrix({"", down}, shared.source, rank, n_in),
            .up = place_.matrix({"", up}, shared.source, n_out, rank)};
  }

  Result<std::unique_ptr<Mixer>> attention(int32_t layer, const SharedPlace& shared) {
    const AttentionConfig& config = decoder_.layer_config(layer).attention;
    const int64_t width = 2 * decoder_.config().d_model, kv_width = int64_t{config.n_kv_heads} * config.d_head_k;
    AttentionWeights weights;
    weights.q = place_.matrix(kQ, shared.source, width, width);
    weights.k = place_.matrix(kK, shared.source, kv_width, width);
    weights.v = place_.matrix(kV, shared.source, kv_width, width);
    weights.output = place_.matrix(kOutput, shared.source, decoder_.config().d_model, width);
    ORRERY_ASSIGN_OR_RETURN(const bool adapts, file_.boolean({"", "use_shared_attention_adapter"}, false));
    if (adapts) {
      weights.q_adapter = adapter(shared, "self_attn.linear_q_adapter_list", width, width);
      weights.k_adapter = adapter(shared, "self_attn.linear_k_adapter_list", width, kv_width);
      weights.v_adapter = adapter(shared, "self_attn.linear_v_adapter_list", width, kv_width);
    }
    return std::unique_ptr<Mixer>(std::make_unique<Attention>(config, weights, decoder_.norm_epsilon()));
  }

  std::unique_ptr<FeedForward> feed_forward(int32_t layer, const SharedPlace& shared) {
    const LayerConfig& config = decoder_.layer_config(layer);
    const int64_t d_model = decoder_.config().d_model, d_ffn = config.d_ffn;
    const TensorView both = place_.matrix(kGateUp, shared.source, 2 * d_ffn, d_model);
    const TensorView biases = place_.optional_vector(kGateUpBias, shared.source, 2 * d_ffn);
    const LowRank adapters = adapter(shared, "feed_forward.gate_up_proj_adapter_list", d_model, 2 * d_ffn);
    const auto half_of_biases = [&](int64_t begin) -> TensorView {
      if (biases.empty()) return {};
      return {
          .dtype = biases.dtype, .shape = {d_ffn}, .data = biases.data + static_cast<size_t>(begin) * sizeof(float)};
    };
    DenseFfnWeights weights;
    weights.gate = both.rows(0, d_ffn);
    weights.up = both.rows(d_ffn, d_ffn);
    weights.gate_bias = half_of_biases(0);
    weights.up_bias = half_of_biases(d_ffn);
    weights.gate_adapter = {.down = adapters.down, .up = adapters.up.rows(0, d_ffn)};
    weights.up_adapter = {.down = adapters.down, .up = adapters.up.rows(d_ffn, d_ffn)};
    weights.down = place_.matrix(kDown, shared.source, d_model, d_ffn);
    weights.down_bias = place_.optional_vector(kDownBias, shared.source, d_model);
    return std::make_unique<DenseFfn>(config.activation, weights);
  }

  const ModelFile& file_;
  DecoderBuilder& decoder_;
  TensorPlacer& place_;
  std::vector<SharedPlace> places_;
};

// A block's lists of adapters are for all layers that use it, and each layer takes its own.
void skip_adapters(const ModelFile& file, TensorPlacer& place) {
  for (const StoredTensor& tensor : file.tensors().tensors()) {
    const std::string_view name = tensor.name;
    const bool is_one = name.find(".shared_transformer.") != name.npos && name.find("_adapter_list.") != name.npos;
    if (is_one) place.skip({"", name}, -1);
  }
}

}  // namespace

Result<ModelConfig> read_zamba2_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, read_kinds(file, config.n_layers()));
  for (size_t i = 0; i < kinds.size(); ++i) {
    const bool is_hybrid = kinds[i] == LayerKind::kHybrid;
    config.layers[i].mixers = {MixerKind::kMatrixState};
    if (is_hybrid) config.layers[i].mixers = {MixerKind::kAttention, MixerKind::kMatrixState};
    ORRERY_RETURN_IF_ERROR(
        read_mamba2_layer(file, kMambaKeys, is_hybrid ? kInnerMamba : kMamba2Part, static_cast<int32_t>(i), config));
  }
  ORRERY_ASSIGN_OR_RETURN(const std::vector<SharedPlace> places, shared_places(file, config));
  ORRERY_RETURN_IF_ERROR(read_shared_attention(file, places, config));
  ORRERY_RETURN_IF_ERROR(read_shared_ffn(file, places, config));
  return config;
}

Result<ModelParts> build_zamba2(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(std::vector<SharedPlace> places, shared_places(file, config));
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, kTraits.names);
  skip_adapters(file, decoder.place());
  Zamba2Builder builder(file, decoder, std::move(places));
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Block> block, builder.block(layer));
    decoder.add(std::move(block));
  }
  return decoder.finish();
}

}  // namespace orrery
