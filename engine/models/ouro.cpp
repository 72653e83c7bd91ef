#include "engine/models/ouro.h"

#include <memory>
#include <string>
#include <utility>

#include "engine/blocks/residual_block.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/qwen2.h"

namespace orrery {

namespace {

constexpr TensorName kBeforeAttention{"", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kAfterAttention{"", "model.layers.{}.input_layernorm_2.weight"};
constexpr TensorName kBeforeFfn{"", "model.layers.{}.post_attention_layernorm.weight"};
constexpr TensorName kAfterFfn{"", "model.layers.{}.post_attention_layernorm_2.weight"};
constexpr TensorName kGate{"", "model.early_exit_gate.weight"};
constexpr TensorName kGateBias{"", "model.early_exit_gate.bias"};
constexpr ConfigKey kLoops{"", "total_ut_steps"};
constexpr ConfigKey kThreshold{"", "early_exit_threshold"};

Result<LoopConfig> read_loop(const ModelFile& file, int32_t n_layers) {
  constexpr int64_t kUsualLoops = 4;  // of the class, as is the threshold
  constexpr int64_t kMostLoops = 256;
  // Reads one time whatever the gate says.
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "early_exit_step"}));
  LoopConfig loop{.begin = 0, .end = n_layers, .rule = ExitRule::kGate, .fill = ExitFill::kComputed, .has_gate = true};
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_loops, file.integer(kLoops, 1, kMostLoops, kUsualLoops));
  loop.n_iterations = static_cast<int32_t>(n_loops);
  ORRERY_ASSIGN_OR_RETURN(const double threshold, file.number(kThreshold, 1.0));
  if (!(threshold > 0.0)) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(kThreshold) + " must be above 0, but is " +
                                              std::to_string(threshold)};
  }
  loop.threshold = static_cast<float>(threshold);
  return loop;
}

}  // namespace

Result<ModelConfig> read_ouro_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, {}));
  ORRERY_RETURN_IF_ERROR(read_qwen_windows(file, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  ORRERY_ASSIGN_OR_RETURN(config.loop, read_loop(file, config.n_layers()));
  return config;
}

Result<ModelParts> build_ouro(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kBeforeAttention, layer);
    norms.after_mixer = decoder.norm(kAfterAttention, layer);
    norms.before_ffn = decoder.norm(kBeforeFfn, layer);
    norms.after_ffn = decoder.norm(kAfterFfn, layer);
    decoder.add(std::make_unique<ResidualBlock>(norms, decoder.attention(layer), decoder.dense_ffn(layer)));
  }
  const int64_t d_model = decoder.config().d_model;
  NormedLoopWeights loop;
  loop.gate = decoder.place().matrix(kGate, -1, 1, d_model);
  loop.gate_bias = decoder.place().vector(kGateBias, -1, 1);
  ORRERY_ASSIGN_OR_RETURN(ModelParts parts, decoder.finish());
  loop.norm = parts.output_norm;
  parts.loop = std::make_unique<NormedLoop>(loop, parts.config.norm_epsilon);
  return parts;
}

}  // namespace orrery
