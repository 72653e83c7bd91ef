#include "engine/models/mixtral.h"

#include <utility>

#include "engine/models/moe_layers.h"

namespace orrery {

namespace {

// As published; transformers itself has them elsewhere in memory, and writes them so where it is asked to.
constexpr MoeNames kPublished{
    .router = {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.block_sparse_moe.gate.weight"},
    .one_gate = {"blk.{}.ffn_gate.{expert}.weight", "model.layers.{}.block_sparse_moe.experts.{expert}.w1.weight"},
    .one_up = {"blk.{}.ffn_up.{expert}.weight", "model.layers.{}.block_sparse_moe.experts.{expert}.w3.weight"},
    .one_down = {"blk.{}.ffn_down.{expert}.weight", "model.layers.{}.block_sparse_moe.experts.{expert}.w2.weight"}};

}  // namespace

MoeNames mixtral_names(const ModelFile& file) {
  return file.find(kPublished.router, 0) != nullptr ? kPublished : MoeNames();
}

Result<ModelConfig> read_mixtral_config(const ModelFile& file) {
  ExpertDecoder decoder;
  decoder.traits = {.gguf_pairing = RopePairing::kAdjacent, .usual_epsilon = 1e-5};
  decoder.keys.d_expert = {"feed_forward_length", "intermediate_size"};
  decoder.names = mixtral_names(file);
  decoder.router = {.score = RouterScore::kSoftmax, .renormalise = true};
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_expert_decoder(file, decoder));
  if (file.format() == ModelFile::Format::kHuggingFace) {  // a GGUF file says nothing of windows
    ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, 0));
    for (LayerConfig& layer : config.layers) layer.attention.window = window;
  }
  const double usual_base = file.format() == ModelFile::Format::kGguf ? 1e4 : 1e6;
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {.default_base = usual_base}, config));
  return config;
}

Result<ModelParts> build_mixtral(const ModelFile& file, ModelConfig config, const Placement& placement) {
  return build_expert_decoder(file, std::move(config), placement, mixtral_names(file));
}

}  // namespace orrery
