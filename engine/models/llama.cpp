#include "engine/models/llama.h"

#include <utility>

#include "engine/models/decoder_builder.h"
#include "engine/models/mixtral.h"

namespace orrery {

namespace {

bool is_gguf_with_experts(const ModelFile& file) {
  constexpr TensorName kRouter{"blk.{}.ffn_gate_inp.weight", ""};
  if (file.format() != ModelFile::Format::kGguf) return false;
  const auto n_experts = file.integer({"expert_count", ""}, 0, 0, 0);
  return !n_experts || file.find(kRouter, 0) != nullptr;
}

}  // namespace

Result<ModelConfig> read_llama_config(const ModelFile& file) {
  if (is_gguf_with_experts(file)) return read_mixtral_config(file);
  // GGUF's converter permutes the rows of q and k, so that the dimensions that turn together are neighbours.
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, {.gguf_pairing = RopePairing::kAdjacent}));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  return config;
}

Result<ModelParts> build_llama(const ModelFile& file, ModelConfig config, const Placement& placement) {
  const bool has_experts = config.layers.front().feed_forward == FeedForwardKind::kMoe;
  return (has_experts ? build_mixtral : build_pre_norm_decoder)(file, std::move(config), placement);
}

}  // namespace orrery
