#include "engine/models/backbone.h"

namespace orrery {

DecoderNames backbone_names(const ModelFile& file) {
  constexpr TensorName kEarlier{"token_embd.weight", "backbone.embedding.weight"};
  DecoderNames names{.embedding = {"token_embd.weight", "backbone.embeddings.weight"},
                     .output_norm = {"output_norm.weight", "backbone.norm_f.weight"},
                     .layers = {"blk.", "backbone.layers."}};
  if (file.find(names.embedding) == nullptr && file.find(kEarlier) != nullptr) names.embedding = kEarlier;
  return names;
}

Result<ModelConfig> read_backbone_sizes(const ModelFile& file, bool ties) {
  constexpr int64_t kMostPositions = int64_t{1} << 40;
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  const DecoderTraits traits{.tied_embedding = ties,
                             .epsilon_key = {"attention.layer_norm_rms_epsilon", "layer_norm_epsilon"},
                             .usual_epsilon = 1e-5,
                             .names = backbone_names(file)};
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, traits));
  ORRERY_ASSIGN_OR_RETURN(config.context_length,
                          file.integer({"context_length", "max_position_embeddings"}, 0, kMostPositions, 0));
  for (LayerConfig& layer : config.layers) {
    layer.mixers = {MixerKind::kMatrixState};
    layer.feed_forward = FeedForwardKind::kNone;
  }
  return config;
}

}  // namespace orrery
