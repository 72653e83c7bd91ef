// Layers with experts: their sizes from settings and tensors, their weights. For the architectures that have such
// layers.
#pragma once

#include <memory>
#include <vector>

#include "engine/blocks/moe_ffn.h"
#include "engine/models/decoder_builder.h"

namespace orrery {

// The experts of a layer are stored in a tensor each for gates, ups and downs, or with gates and ups in one (folders as
// transformers has them in memory), or one by one (published folders; GGUF files of 2023). n experts read and give d_in
// numbers: d_model, or a latent width.
struct MoeNames {
  TensorName router{"blk.{}.ffn_gate_inp.weight", "model.layers.{}.mlp.gate.weight"};
  TensorName router_bias{"blk.{}.ffn_gate_inp.bias", ""};
  bool is_gated = true;
  TensorName gate{"blk.{}.ffn_gate_exps.weight", "model.layers.{}.mlp.experts.gate_proj"};  // [n, d_expert, d_in]
  TensorName up{"blk.{}.ffn_up_exps.weight", "model.layers.{}.mlp.experts.up_proj"};        // [n, d_expert, d_in]
  TensorName gate_up{"", "model.layers.{}.mlp.experts.gate_up_proj"};  // [n, 2 d_expert, d_in], gate first
  TensorName down{"blk.{}.ffn_down_exps.weight", "model.layers.{}.mlp.experts.down_proj"};  // [n, d_in, d_expert]
  TensorName one_gate{"blk.{}.ffn_gate.{expert}.weight", "model.layers.{}.mlp.experts.{expert}.gate_proj.weight"};
  TensorName one_up{"blk.{}.ffn_up.{expert}.weight", "model.layers.{}.mlp.experts.{expert}.up_proj.weight"};
  TensorName one_down{"blk.{}.ffn_down.{expert}.weight", "model.layers.{}.mlp.experts.{expert}.down_proj.weight"};
};

struct MoeKeys {
  ConfigKey n_experts{"expert_count", "num_local_experts"};
  ConfigKey n_experts_too{"", "num_experts"};  // another spelling
  ConfigKey n_chosen{"expert_used_count", "num_experts_per_tok"};
  ConfigKey d_expert{"expert_feed_forward_length", "moe_intermediate_size"};
  int64_t usual_chosen = 2;  // where the file does not say: the class's default
};

// Sigmoid scores, experts in groups (DeepSeek-V3 and its kin).
struct GroupKeys {
  ConfigKey n_groups{"expert_group_count", "n_group"};
  ConfigKey n_kept{"expert_group_used_count", "topk_group"};
  ConfigKey renormalise{"expert_weights_norm", "norm_topk_prob"};
  ConfigKey scale{"expert_weights_scale", "routed_scaling_factor"};
  int64_t usual_groups = 1, usual_kept = 1;  // where config.json does not say: the class's defaults
  double usual_scale = 1.0;
};
// All but the numbers of experts. A GGUF file that keeps groups says how many; one that does not has one, or keeps all.
Result<RouterConfig> read_sigmoid_router(const ModelFile& file, const GroupKeys& keys);
// kInvalidFile where a layer's groups are not whole, or have too few experts to choose from. After read_moe_layers.
Result<void> check_groups(const ModelFile& file, const GroupKeys& keys, const MoeKeys& moe_keys,
                          const ModelConfig& config);

// n_experts and n_chosen of a layer, into `router`. The router's rows decide, and what is stated must agree.
// kInvalidFile for no experts, and for more chosen than there are.
Result<void> read_router_sizes(const ModelFile& file, const MoeKeys& keys, TensorName name, int32_t layer,
                               int64_t d_model, RouterConfig& router);

// Fills `moe` of the layers whose feed-forward is kMoe; the tensors decide, and what is stated must agree. router: all
// but the numbers of experts. d_in: 0 for d_model. kInvalidFile where there are no experts, where more are chosen than
// there are, or where a size contradicts the tensors.
Result<void> read_moe_layers(const ModelFile& file, const MoeKeys& keys, const MoeNames& names,
                             const RouterConfig& router, ModelConfig& config, int64_t d_in = 0);
// The same for one layer.
Result<void> read_moe_layer(const ModelFile& file, const MoeKeys& keys, const MoeNames& names,
                            const RouterConfig& router, int32_t layer, ModelConfig& config, int64_t d_in = 0);

// Router and routed experts; the other weights that a layer has, its architecture adds. d_in: 0 for d_model.
MoeWeights moe_weights(DecoderBuilder& decoder, int32_t layer, const MoeNames& names, int64_t d_in = 0);
// A layer that has nothing else.
std::unique_ptr<FeedForward> moe_ffn(DecoderBuilder& decoder, int32_t layer, const MoeNames& names);

// The shared expert that DeepSeek-V3 and its kin have beside the routed ones: n_shared of their width, as one.
struct SharedExpertNames {
  FfnNames ffn{.gate = {"blk.{}.ffn_gate_shexp.weight", "model.layers.{}.mlp.shared_experts.gate_proj.weight"},
               .up = {"blk.{}.ffn_up_shexp.weight", "model.layers.{}.mlp.shared_experts.up_proj.weight"},
               .down = {"blk.{}.ffn_down_shexp.weight", "model.layers.{}.mlp.shared_experts.down_proj.weight"}};
  TensorName selection_bias{"blk.{}.exp_probs_b.bias", "model.layers.{}.mlp.gate.e_score_correction_bias"};
};
// Fills moe.d_shared of a layer. After read_moe_layers. kInvalidFile where n_shared contradicts the tensors.
Result<void> read_shared_expert(const ModelFile& file, ConfigKey n_shared, const SharedExpertNames& names,
                                int32_t layer, ModelConfig& config);
std::unique_ptr<FeedForward> moe_ffn(DecoderBuilder& decoder, int32_t layer, const MoeNames& names,
                                     const SharedExpertNames& shared);

// Llama's blocks with experts in place of the feed-forward, in all layers or in some; all but rotation and windows.
struct ExpertDecoder {
  DecoderTraits traits;
  MoeKeys keys;
  MoeNames names;
  RouterConfig router;
  std::vector<bool> has_experts = {};  // per layer; empty: all have
};
Result<ModelConfig> read_expert_decoder(const ModelFile& file, const ExpertDecoder& decoder);
Result<ModelParts> build_expert_decoder(const ModelFile& file, ModelConfig config, const Placement& placement,
                                        const MoeNames& names);

}  // namespace orrery
