#include "engine/models/qwen3_moe.h"

#include <utility>
#include <vector>

#include "engine/models/moe_layers.h"

namespace orrery {

namespace {

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }

// In a folder every decoder_sparse_step-th layer that mlp_only_layers does not name; in a GGUF file all.
Result<std::vector<bool>> layers_with_experts(const ModelFile& file) {
  constexpr int64_t kMostLayers = 4096;
  std::vector<bool> has_experts;
  if (is_gguf(file)) return has_experts;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_layers, file.integer({"", "num_hidden_layers"}, 1, kMostLayers));
  ORRERY_ASSIGN_OR_RETURN(const int64_t step, file.integer({"", "decoder_sparse_step"}, 1, int64_t{1} << 31, 1));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<bool> is_dense, file.named_layers({"", "mlp_only_layers"}, n_layers));
  for (int64_t i = 0; i < n_layers; ++i) {
    has_experts.push_back((i + 1) % step == 0 && !is_dense[static_cast<size_t>(i)]);
  }
  return has_experts;
}

// One for all layers, where it is switched on.
Result<void> read_windows(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kUsualWindow = 4096;  // of transformers' Qwen3MoeConfig
  if (is_gguf(file)) return {};
  ORRERY_ASSIGN_OR_RETURN(const bool is_on, file.boolean({"", "use_sliding_window"}, false));
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, kUsualWindow));
  for (LayerConfig& layer : config.layers) layer.attention.window = is_on ? window : 0;
  return {};
}

}  // namespace

Result<ModelConfig> read_qwen3_moe_config(const ModelFile& file) {
  constexpr int64_t kUsualChosen = 8;
  ExpertDecoder decoder;
  decoder.traits = {.qk_norm = true};
  decoder.keys.usual_chosen = kUsualChosen;
  ORRERY_ASSIGN_OR_RETURN(decoder.has_experts, layers_with_experts(file));
  // What a GGUF file does not say, llama.cpp does.
  ORRERY_ASSIGN_OR_RETURN(const bool renormalise,
                          file.boolean({"expert_weights_norm", "norm_topk_prob"}, is_gguf(file)));
  decoder.router = {.score = RouterScore::kSoftmax, .renormalise = renormalise};
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_expert_decoder(file, decoder));
  ORRERY_RETURN_IF_ERROR(read_windows(file, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  return config;
}

Result<ModelParts> build_qwen3_moe(const ModelFile& file, ModelConfig config, const Placement& placement) {
  return build_expert_decoder(file, std::move(config), placement, {});
}

}  // namespace orrery
