#include "engine/models/olmoe.h"

#include <utility>

#include "engine/models/moe_layers.h"

namespace orrery {

namespace {

constexpr ConfigKey kClip{"attention.clamp_kqv", "clip_qkv"};

Result<float> read_clip(const ModelFile& file) {
  if (!file.has(kClip)) return 0.0f;
  ORRERY_ASSIGN_OR_RETURN(const double clip, file.number(kClip));
  if (clip > 0.0) return static_cast<float>(clip);
  return Error{ErrorCode::kInvalidFile,
               file.path() + ": " + file.spelled(kClip) + " must be positive, but is " + std::to_string(clip)};
}

}  // namespace

Result<ModelConfig> read_olmoe_config(const ModelFile& file) {
  constexpr int64_t kUsualChosen = 8;
  ExpertDecoder decoder;
  decoder.traits = {.qk_norm = true, .whole_qk_norm = true, .usual_epsilon = 1e-5};
  decoder.keys.d_expert = {"feed_forward_length", "intermediate_size"};
  decoder.keys.usual_chosen = kUsualChosen;
  ORRERY_ASSIGN_OR_RETURN(const bool renormalise, file.boolean({"expert_weights_norm", "norm_topk_prob"}, false));
  decoder.router = {.score = RouterScore::kSoftmax, .renormalise = renormalise};
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_expert_decoder(file, decoder));
  ORRERY_ASSIGN_OR_RETURN(const float clip, read_clip(file));
  for (LayerConfig& layer : config.layers) layer.attention.clip = clip;
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  return config;
}

Result<ModelParts> build_olmoe(const ModelFile& file, ModelConfig config, const Placement& placement) {
  return build_expert_decoder(file, std::move(config), placement, {});
}

}  // namespace orrery
