#include "engine/models/loopformer.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/attention_mixer.h"
#include "engine/blocks/conditioned_block.h"
#include "engine/blocks/dense_ffn.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr TensorName kEmbeddingTable{"", "transformer.wte.weight"};
constexpr TensorName kHead{"", "lm_head.weight"};  // the same; files may have one of them alone
constexpr TensorName kPositions{"", "transformer.wpe.weight"};
constexpr TensorName kFused{"", "transformer.h.blocks.{}.attn.c_attn.weight"};
constexpr TensorName kFusedBias{"", "transformer.h.blocks.{}.attn.c_attn.bias"};
constexpr TensorName kOut{"", "transformer.h.blocks.{}.attn.c_proj.weight"};
constexpr TensorName kOutBias{"", "transformer.h.blocks.{}.attn.c_proj.bias"};
constexpr TensorName kUp{"", "transformer.h.blocks.{}.mlp.c_fc.weight"};
constexpr TensorName kUpBias{"", "transformer.h.blocks.{}.mlp.c_fc.bias"};
constexpr TensorName kDown{"", "transformer.h.blocks.{}.mlp.c_proj.weight"};
constexpr TensorName kDownBias{"", "transformer.h.blocks.{}.mlp.c_proj.bias"};
constexpr TensorName kModulation{"", "transformer.h.blocks.{}.adaLN_modulation.1.weight"};
constexpr TensorName kModulationBias{"", "transformer.h.blocks.{}.adaLN_modulation.1.bias"};
// linear_2(silu(linear_1(sinusoids))) of a number
struct Embedder {
  TensorName first, first_bias, second, second_bias;
};
constexpr Embedder kTime{{"", "time_embedder.mlp.0.weight"},
                         {"", "time_embedder.mlp.0.bias"},
                         {"", "time_embedder.mlp.2.weight"},
                         {"", "time_embedder.mlp.2.bias"}};
constexpr Embedder kStep{{"", "dt_embedder.mlp.0.weight"},
                         {"", "dt_embedder.mlp.0.bias"},
                         {"", "dt_embedder.mlp.2.weight"},
                         {"", "dt_embedder.mlp.2.bias"}};

DecoderNames names_in(const ModelFile& file) {
  return {.embedding = file.which({kEmbeddingTable, kHead}, -1),
          .output_norm = {"", "transformer.norm_f.weight"},
          .output = kHead,
          .layers = {"", "transformer."}};
}

// Part of a vector in the backend's memory.
TensorView part_of(const TensorView& vector, int64_t begin, int64_t count) {
  if (vector.empty()) return {};
  return {.dtype = DType::kF32,
          .shape = {count},
          .data = reinterpret_cast<const std::byte*>(reinterpret_cast<const float*>(vector.data) + begin)};
}

// What the blocks are told in each iteration, computed with the backend once: it depends on no token. Sources: Peebles
// and Xie 2022 (DiT) for the embedder and adaLN; Jeddi et al. 2026, section 3, for what is embedded.
class StepConditions {
 public:
  StepConditions(TensorPlacer& place, Backend& backend, int32_t n_steps, int64_t d_model)
      : place_(place), backend_(backend), n_steps_(n_steps), d_model_(d_model) {}

  // silu(c_i), c_i = time(i / n) + step(1 / n), of all iterations.
  Result<void> embed() {
    ORRERY_ASSIGN_OR_RETURN(conditions_, matrix(d_model_));
    ORRERY_ASSIGN_OR_RETURN(const Matrix<float> of_step, matrix(d_model_));
    const double step = 1.0 / static_cast<double>(n_steps_);
    ORRERY_RETURN_IF_ERROR(embed(
        kTime, [&](int32_t i) { return i * step; }, conditions_));
    ORRERY_RETURN_IF_ERROR(embed(
        kStep, [&](int32_t) { return step; }, of_step));
    backend_.add(conditions_, of_step, 1.0f);
    backend_.activate(Activation::kSilu, conditions_, conditions_);
    return {};
  }

  // A layer's gates and scales [n_steps, 4 * d_model], one added to the scales.
  Result<StepModulation> modulation(int32_t layer) {
    const TensorView weight = place_.matrix(kModulation, layer, 4 * d_model_, d_model_);
    std::vector<float> bias = place_.values(kModulationBias, layer, 4 * d_model_);
    for (size_t i = bias.size() / 2; i < bias.size(); ++i) bias[i] += 1.0f;
    const TensorView placed = place_.made(std::move(bias), {4 * d_model_});
    ORRERY_RETURN_IF_ERROR(place_.status());
    ORRERY_ASSIGN_OR_RETURN(const Matrix<float> rows, matrix(4 * d_model_));
    const Product product[] = {{weight, placed, rows}};
    backend_.matmul(conditions_, product);
    return StepModulation{rows};
  }

  // Waits for all of it; what the modulations lie in.
  Result<std::vector<std::unique_ptr<Allocation>>> finish() {
    ORRERY_RETURN_IF_ERROR(backend_.finish({}));
    return std::move(memory_);
  }

 private:
  static constexpr int64_t kSinusoids = 256;
  static constexpr double kLongestPeriod = 10000.0;

  Result<Matrix<float>> matrix(int64_t n_cols) {
    const auto n_bytes = static_cast<size_t>(n_steps_ * n_cols) * sizeof(float);
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Allocation> memory, backend_.allocate(n_bytes));
    memory_.push_back(std::move(memory));
    return Matrix<float>(reinterpret_cast<float*>(memory_.back()->data()), n_steps_, n_cols);
  }

  template <typename Number>
  Result<void> embed(const Embedder& names, const Number& number, Matrix<float> out) {
    constexpr int64_t kHalf = kSinusoids / 2;
    std::vector<float> sinusoids(static_cast<size_t>(n_steps_ * kSinusoids));
    for (int32_t i = 0; i < n_steps_; ++i) {
      float* const row = sinusoids.data() + i * kSinusoids;
      for (int64_t k = 0; k < kHalf; ++k) {
        const double angle = number(i) * std::pow(kLongestPeriod, -static_cast<double>(k) / kHalf);
        row[k] = static_cast<float>(std::cos(angle));
        row[kHalf + k] = static_cast<float>(std::sin(angle));
      }
    }
    const TensorView table = place_.made(std::move(sinusoids), {n_steps_, kSinusoids});
    const TensorView first = place_.matrix(names.first, -1, d_model_, kSinusoids);
    const TensorView first_bias = place_.vector(names.first_bias, -1, d_model_);
    const TensorView second = place_.matrix(names.second, -1, d_model_, d_model_);
    const TensorView second_bias = place_.vector(names.second_bias, -1, d_model_);
    ORRERY_RETURN_IF_ERROR(place_.status());
    ORRERY_ASSIGN_OR_RETURN(const Matrix<float> hidden, matrix(d_model_));
    const Product to_hidden[] = {{first, first_bias, hidden}};
    backend_.matmul({reinterpret_cast<const float*>(table.data), n_steps_, kSinusoids}, to_hidden);
    backend_.activate(Activation::kSilu, hidden, hidden);
    const Product to_out[] = {{second, second_bias, out}};
    backend_.matmul(hidden, to_out);
    return {};
  }

  TensorPlacer& place_;
  Backend& backend_;
  const int64_t n_steps_, d_model_;
  Matrix<float> conditions_;
  std::vector<std::unique_ptr<Allocation>> memory_;
};

std::unique_ptr<Mixer> attention(DecoderBuilder& decoder, int32_t layer) {
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model;
  const TensorView fused = place.matrix(kFused, layer, 3 * d_model, d_model);
  const TensorView bias = place.optional_vector(kFusedBias, layer, 3 * d_model);
  AttentionWeights weights;
  weights.q = fused.rows(0, d_model);
  weights.k = fused.rows(d_model, d_model);
  weights.v = fused.rows(2 * d_model, d_model);
  weights.q_bias = part_of(bias, 0, d_model);
  weights.k_bias = part_of(bias, d_model, d_model);
  weights.v_bias = part_of(bias, 2 * d_model, d_model);
  weights.output = place.matrix(kOut, layer, d_model, d_model);
  weights.output_bias = place.optional_vector(kOutBias, layer, d_model);
  return std::make_unique<Attention>(decoder.layer_config(layer).attention, weights, decoder.norm_epsilon());
}

std::unique_ptr<FeedForward> feed_forward(DecoderBuilder& decoder, int32_t layer) {
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model, d_ffn = decoder.layer_config(layer).d_ffn;
  DenseFfnWeights weights;
  weights.up = place.matrix(kUp, layer, d_ffn, d_model);
  weights.up_bias = place.optional_vector(kUpBias, layer, d_ffn);
  weights.down = place.matrix(kDown, layer, d_model, d_ffn);
  weights.down_bias = place.optional_vector(kDownBias, layer, d_model);
  return std::make_unique<DenseFfn>(Activation::kGelu, weights);
}

Result<LayerConfig> read_layer(const ModelFile& file, const ModelConfig& config, int32_t layer) {
  constexpr int64_t kMostHeads = 4096;
  const ConfigKey heads_key = stated_key(file, {"n_head", "num_attention_heads"});
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(heads_key, 1, kMostHeads));
  if (config.d_model % n_heads != 0) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(heads_key) + " must divide the stream's " +
                                              std::to_string(config.d_model) + " numbers, but is " +
                                              std::to_string(n_heads)};
  }
  LayerConfig spec;
  spec.mixers = {MixerKind::kAttention};
  spec.attention.n_heads = spec.attention.n_kv_heads = static_cast<int32_t>(n_heads);
  spec.attention.d_head_k = spec.attention.d_head_v = static_cast<int32_t>(config.d_model / n_heads);
  spec.attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(spec.attention.d_head_k)));
  spec.feed_forward = FeedForwardKind::kDense;
  spec.activation = Activation::kGelu;
  ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(kUp, layer, {-1, config.d_model}));
  spec.d_ffn = up.n_rows();
  ORRERY_RETURN_IF_ERROR(check_stated(file, stated_key(file, {"intermediate_dim", "n_inner"}), spec.d_ffn,
                                      "the rows of " + file.spelled(kUp, layer)));
  for (const TensorName bias : {kFusedBias, kOutBias, kUpBias, kDownBias}) {
    ORRERY_RETURN_IF_ERROR(check_bias(file, "bias", bias, layer));
  }
  return spec;
}

}  // namespace

Result<ModelConfig> read_loopformer_config(const ModelFile& file) {
  constexpr int64_t kMostWidth = int64_t{1} << 24, kMostLayers = 1024, kMostIterations = 1024;
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ModelConfig config;
  config.architecture = file.architecture();
  // The norms' epsilon is what PyTorch takes where none is given.
  config.norm_epsilon = std::numeric_limits<float>::epsilon();
  ORRERY_ASSIGN_OR_RETURN(config.d_model, file.integer(stated_key(file, {"n_embd", "hidden_size"}), 1, kMostWidth));
  const TensorName table = names_in(file).embedding;
  ORRERY_ASSIGN_OR_RETURN(const TensorView embedding, file.tensor(table, -1, {-1, config.d_model}));
  config.vocab_size = embedding.n_rows();
  config.tied_embedding = true;
  ORRERY_RETURN_IF_ERROR(
      check_stated(file, {"", "vocab_size"}, config.vocab_size, "the rows of " + file.spelled(table)));
  ORRERY_ASSIGN_OR_RETURN(const TensorView positions, file.tensor(kPositions, -1, {-1, config.d_model}));
  config.context_length = positions.n_rows();
  ORRERY_RETURN_IF_ERROR(check_stated(file, stated_key(file, {"block_size", "n_positions", "max_position_embeddings"}),
                                      config.context_length, "the rows of " + file.spelled(kPositions)));

  ORRERY_ASSIGN_OR_RETURN(const int64_t n_layers,
                          file.integer(stated_key(file, {"n_layer", "num_hidden_layers"}), 1, kMostLayers));
  for (int32_t i = 0; i < n_layers; ++i) {
    ORRERY_ASSIGN_OR_RETURN(LayerConfig layer, read_layer(file, config, i));
    config.layers.push_back(std::move(layer));
  }
  // As the authors' training and sampling call it; 8 where nothing is stated.
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_iterations, file.integer({"", "max_model_loops"}, 1, kMostIterations, 8));
  config.loop.end = static_cast<int32_t>(n_layers);
  config.loop.n_iterations = static_cast<int32_t>(n_iterations);
  return config;
}

Result<ModelParts> build_loopformer(const ModelFile& file, ModelConfig config, const Placement& placement) {
  const int32_t n_steps = config.loop.n_iterations;
  const int64_t d_model = config.d_model;
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, names_in(file));
  StepConditions conditions(decoder.place(), placement.backend, n_steps, d_model);
  ORRERY_RETURN_IF_ERROR(conditions.embed());
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    ORRERY_ASSIGN_OR_RETURN(const StepModulation modulation, conditions.modulation(layer));
    decoder.add(std::make_unique<ConditionedBlock>(modulation, decoder.norm_epsilon(), attention(decoder, layer),
                                                   feed_forward(decoder, layer)));
  }
  const TensorView positions = decoder.place().matrix(kPositions, -1, decoder.config().context_length, d_model);
  ORRERY_ASSIGN_OR_RETURN(auto memory, conditions.finish());
  ORRERY_ASSIGN_OR_RETURN(ModelParts parts, decoder.finish());
  parts.positions = positions;
  for (auto& one : memory) parts.memory.push_back(std::move(one));
  parts.loop = std::make_unique<LoopBody>();
  return parts;
}

}  // namespace orrery
