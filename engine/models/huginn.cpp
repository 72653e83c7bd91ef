#include "engine/models/huginn.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/attention_mixer.h"
#include "engine/blocks/dense_ffn.h"
#include "engine/blocks/injected_loop.h"
#include "engine/blocks/sandwich_block.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/rope_scaling.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderNames kNames{.embedding = {"", "transformer.wte.weight"},
                              .output_norm = {"", "transformer.ln_f.weight"},
                              .output = {"", "lm_head.weight"},
                              .layers = {"", "transformer."}};
constexpr TensorName kAdapter{"", "transformer.adapter.weight"};
constexpr TensorName kAdapterBias{"", "transformer.adapter.bias"};
constexpr double kMostFactor = 1e6;  // of numbers that multiply; beyond it a file is broken

// Layers of one part are numbered from 0 in their tensors' names.
struct Part {
  std::string_view name;
  std::string_view key;  // of config.json, for how many there are
  int64_t least = 0;
  int64_t usual = 0;
};
constexpr Part kPrelude{"prelude", "n_layers_in_prelude", 0, 2};
constexpr Part kCore{"core_block", "n_layers_in_recurrent_block", 1, 4};
constexpr Part kCoda{"coda", "n_layers_in_coda", 1, 2};  // the first of these norms what the loop gives

std::string layer_name(const Part& part, const char* rest) {
  return "transformer." + std::string(part.name) + ".{}." + rest;
}

Result<int32_t> n_layers_of(const ModelFile& file, const Part& part) {
  constexpr int64_t kMostLayers = 1024;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n, file.integer({"", part.key}, part.least, kMostLayers, part.usual));
  return static_cast<int32_t>(n);
}

// What config.json names and is computed in one way only.
Result<void> expect_kinds(const ModelFile& file) {
  constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
      {"injection_type", "linear"},   {"state_init", "like-init"},          {"block_class_name", "SandwichBlock"},
      {"mlp_class_name", "GatedMLP"}, {"norm_class_name", "RMSNorm_llama"}, {"nonlin_name", "SiLU"}};
  for (const auto& [key, expected] : kKinds) ORRERY_RETURN_IF_ERROR(expect_text(file, key, expected));
  return refuse_setting(file, {"", "test_time_noise"});
}

Result<void> read_vocabulary(const ModelFile& file, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const TensorView embedding, file.tensor(kNames.embedding, -1, {-1, config.d_model}));
  config.vocab_size = embedding.n_rows();
  const std::string rows = "the rows of " + file.spelled(kNames.embedding);
  const ConfigKey padded = stated_key(file, {"padded_vocab_size", "vocab_size"});
  ORRERY_RETURN_IF_ERROR(check_stated(file, padded, config.vocab_size, rows));
  constexpr ConfigKey kUnpadded{"", "vocab_size"};
  // Logits are those of all rows, padding too.
  const auto unpadded = file.integer(kUnpadded, 1, config.vocab_size, config.vocab_size);
  if (!unpadded) return unpadded.error();
  ORRERY_ASSIGN_OR_RETURN(config.tied_embedding,
                          file.boolean(stated_key(file, {"tie_embeddings", "tie_word_embeddings"}), true));
  return {};
}

Result<double> number_up_to(double most, const ModelFile& file, std::string_view key, double usual) {
  ORRERY_ASSIGN_OR_RETURN(const double value, file.number({"", key}, usual));
  if (value >= 0.0 && value <= most) return value;
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + std::string(key) + " must be from 0 to " +
                                            std::to_string(most) + ", but is " + std::to_string(value)};
}

Result<AttentionConfig> read_heads(const ModelFile& file, const ModelConfig& config) {
  constexpr int64_t kMostHeads = 4096;
  const ConfigKey key = stated_key(file, {"num_attention_heads", "n_heads"});
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(key, 1, kMostHeads));
  if (config.d_model % n_heads != 0 || config.d_model / n_heads % 2 != 0) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(key) + " must divide the stream's " +
                                              std::to_string(config.d_model) +
                                              " numbers into heads of an even width, but is " +
                                              std::to_string(n_heads)};
  }
  constexpr ConfigKey kKvHeads{"", "num_key_value_heads"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_kv_heads, file.integer(kKvHeads, 1, n_heads, n_heads));
  ORRERY_ASSIGN_OR_RETURN(const bool has_bias, file.boolean({"", "qk_bias"}, true));
  if (n_heads % n_kv_heads != 0 || (has_bias && n_kv_heads != n_heads)) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + file.spelled(kKvHeads) + " must divide the " + std::to_string(n_heads) +
                     " query heads, and be as many with qk_bias, but is " + std::to_string(n_kv_heads)};
  }
  AttentionConfig attention;
  attention.n_heads = static_cast<int32_t>(n_heads);
  attention.n_kv_heads = static_cast<int32_t>(n_kv_heads);
  attention.d_head_k = attention.d_head_v = static_cast<int32_t>(config.d_model / n_heads);
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.d_head_k)));
  ORRERY_ASSIGN_OR_RETURN(const double base, file.number({"", "rope_base"}, 50000.0));
  if (!(base > 0.0)) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": rope_base must be positive, but is " + std::to_string(base)};
  }
  RopeScaling turns;
  turns.base = base;
  turns.d_head = turns.n_rot = attention.d_head_k;
  fill_rope(turns, attention.rope);
  attention.rope.pairing = RopePairing::kAdjacent;
  return attention;
}

// What a file is read from, and where its layers go.
class HuginnBuilder {
 public:
  HuginnBuilder(const ModelFile& file, ModelConfig config, const Placement& placement)
      : decoder_(file, std::move(config), placement, 0.0f, kNames) {}

  Result<ModelParts> build(float deviation) {
    const LoopConfig loop = decoder_.config().loop;
    const int32_t n_layers = decoder_.n_layers();
    add_layers(kPrelude, 0, loop.begin);
    add_layers(kCore, loop.begin, loop.end);
    add_layers(kCoda, loop.end, n_layers);
    const int64_t d_model = decoder_.config().d_model;
    InjectedLoopWeights weights;
    weights.adapter = decoder_.place().matrix(kAdapter, -1, d_model, 2 * d_model);
    weights.adapter_bias = decoder_.place().optional_vector(kAdapterBias, -1, d_model);
    ORRERY_ASSIGN_OR_RETURN(ModelParts parts, decoder_.finish());
    parts.loop = std::make_unique<InjectedLoop>(weights, deviation);
    return parts;
  }

 private:
  void add_layers(const Part& part, int32_t begin, int32_t end) {
    for (int32_t layer = begin; layer < end; ++layer) {
      const int32_t number = layer - begin;
      const auto norm = [&](const char* rest) { return decoder_.norm({"", layer_name(part, rest)}, number); };
      SandwichNorms norms{.epsilon = decoder_.norm_epsilon()};
      norms.before_mixer = norm("norm_1.weight");
      norms.after_mixer = norm("norm_2.weight");
      norms.before_ffn = norm("norm_3.weight");
      norms.after_ffn = norm("norm_4.weight");
      if (layer == decoder_.config().loop.end) norms.entry = decoder_.norm(kNames.output_norm, -1);
      const LayerConfig& config = decoder_.layer_config(layer);
      decoder_.add(std::make_unique<SandwichBlock>(norms, attention(part, number, config.attention),
                                                   feed_forward(part, number, config.d_ffn)));
    }
  }

  std::unique_ptr<Mixer> attention(const Part& part, int32_t number, const AttentionConfig& config) {
    TensorPlacer& place = decoder_.place();
    const int64_t d_model = decoder_.config().d_model, d_head = config.d_head_k;
    const int64_t q_width = config.n_heads * d_head, kv_width = config.n_kv_heads * d_head;
    const TensorView fused =
        place.matrix({"", layer_name(part, "attn.Wqkv.weight")}, number, q_width + 2 * kv_width, d_model);
    AttentionWeights weights;
    weights.q = fused.rows(0, q_width);
    weights.k = fused.rows(q_width, kv_width);
    weights.v = fused.rows(q_width + kv_width, kv_width);
    weights.output = place.matrix({"", layer_name(part, "attn.proj.weight")}, number, d_model, q_width);
    // [2, 1, n_heads, d_head]: added to queries, and to keys, before they turn.
    std::vector<float> biases = place.optional_values({"", layer_name(part, "attn.qk_bias")}, number, 2 * q_width);
    if (!biases.empty()) {
      const auto middle = biases.begin() + static_cast<std::ptrdiff_t>(q_width);
      weights.q_bias = place.made({biases.begin(), middle}, {q_width});
      weights.k_bias = place.made({middle, biases.end()}, {q_width});
    }
    return std::make_unique<Attention>(config, weights, decoder_.norm_epsilon());
  }

  std::unique_ptr<FeedForward> feed_forward(const Part& part, int32_t number, int64_t d_ffn) {
    TensorPlacer& place = decoder_.place();
    const int64_t d_model = decoder_.config().d_model;
    const TensorView both = place.matrix({"", layer_name(part, "mlp.fc.weight")}, number, 2 * d_ffn, d_model);
    DenseFfnWeights weights;
    weights.gate = both.rows(0, d_ffn);
    weights.up = both.rows(d_ffn, d_ffn);
    weights.down = place.matrix({"", layer_name(part, "mlp.proj.weight")}, number, d_model, d_ffn);
    return std::make_unique<DenseFfn>(Activation::kSilu, weights);
  }

  DecoderBuilder decoder_;
};

// Biases are there in all layers or in none, as is stated; their shape tells heads apart.
Result<void> check_biases(const ModelFile& file, const AttentionConfig& heads, const LoopConfig& loop,
                          int32_t n_layers) {
  const std::pair<Part, int32_t> parts[] = {
      {kPrelude, loop.begin}, {kCore, loop.end - loop.begin}, {kCoda, n_layers - loop.end}};
  for (const auto& [part, n] : parts) {
    const std::string spelling = layer_name(part, "attn.qk_bias");
    const TensorName name{"", spelling};
    for (int32_t i = 0; i < n; ++i) {
      ORRERY_RETURN_IF_ERROR(check_bias(file, "qk_bias", name, i));
      const auto bias = file.optional_tensor(name, i, {2, 1, heads.n_heads, heads.d_head_k});
      if (!bias) return bias.error();
    }
  }
  return check_bias(file, "bias", kAdapterBias, -1);
}

}  // namespace

Result<ModelConfig> read_huginn_config(const ModelFile& file) {
  constexpr int64_t kMostWidth = int64_t{1} << 24, kMostIterations = 1024, kMostPositions = int64_t{1} << 40;
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(expect_kinds(file));
  ModelConfig config;
  config.architecture = file.architecture();
  ORRERY_ASSIGN_OR_RETURN(config.d_model, file.integer(stated_key(file, {"n_embd", "hidden_size"}), 1, kMostWidth));
  ORRERY_RETURN_IF_ERROR(read_vocabulary(file, config));
  ORRERY_ASSIGN_OR_RETURN(const double epsilon, number_up_to(1.0, file, "norm_eps", 1e-6));
  config.norm_epsilon = static_cast<float>(epsilon);
  ORRERY_ASSIGN_OR_RETURN(config.context_length, file.integer({"", "block_size"}, 1, kMostPositions, 4096));
  const double usual_scale = std::sqrt(static_cast<double>(config.d_model));
  ORRERY_ASSIGN_OR_RETURN(const double scale, number_up_to(kMostFactor, file, "init_values.embed_scale", usual_scale));
  config.embedding_scale = static_cast<float>(scale);

  ORRERY_ASSIGN_OR_RETURN(const int32_t n_prelude, n_layers_of(file, kPrelude));
  ORRERY_ASSIGN_OR_RETURN(const int32_t n_core, n_layers_of(file, kCore));
  ORRERY_ASSIGN_OR_RETURN(const int32_t n_coda, n_layers_of(file, kCoda));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_iterations, file.integer({"", "mean_recurrence"}, 1, kMostIterations, 32));
  config.loop.begin = n_prelude;
  config.loop.end = n_prelude + n_core;
  config.loop.n_iterations = static_cast<int32_t>(n_iterations);
  config.loop.fill = ExitFill::kLatest;
  const int32_t n_layers = n_prelude + n_core + n_coda;

  LayerConfig layer;
  layer.mixers = {MixerKind::kAttention};
  ORRERY_ASSIGN_OR_RETURN(layer.attention, read_heads(file, config));
  ORRERY_RETURN_IF_ERROR(check_biases(file, layer.attention, config.loop, n_layers));
  layer.feed_forward = FeedForwardKind::kDense;
  const std::string fused = layer_name(kCore, "mlp.fc.weight");
  ORRERY_ASSIGN_OR_RETURN(const TensorView both, file.tensor({"", fused}, 0, {-1, config.d_model}));
  layer.d_ffn = both.n_rows() / 2;
  ORRERY_RETURN_IF_ERROR(check_stated(file, {"", "intermediate_size"}, layer.d_ffn,
                                      "half of the rows of " + file.spelled(TensorName{"", fused}, 0)));
  config.layers.assign(static_cast<size_t>(n_layers), layer);
  return config;
}

Result<ModelParts> build_huginn(const ModelFile& file, ModelConfig config, const Placement& placement) {
  const double usual = std::sqrt(2.0 / (5.0 * static_cast<double>(config.d_model)));
  ORRERY_ASSIGN_OR_RETURN(const double deviation, number_up_to(kMostFactor, file, "init_values.std", usual));
  const auto scaled = static_cast<float>(deviation * double{config.embedding_scale});
  return HuginnBuilder(file, std::move(config), placement).build(scaled);
}

}  // namespace orrery
