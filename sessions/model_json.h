// ModelConfig as the JSON text of the columns model.config and model.layers, and back.
//   config: {"architecture", "d_model", "vocab_size", "context_length", "norm_epsilon", "tied_embedding",
//            "embedding_scale", "logit_scale", "logit_cap", "n_layers",
//            "ropes": [{"pairing", "magnitude", "inverse_frequencies", "beyond"}]}  the distinct ones, named by index
//            in layers; beyond, where frequencies change with the length: {"length", "base", "factor",
//            "inverse_frequencies"}
//   layers: [{"label", "mixers": ["attention"], "feed_forward": "dense", "d_ffn", "activation",
//             "attention": {"n_heads", "n_kv_heads", "d_head_k", "d_head_v", "scale", "normaliser", "score_cap",
//             "qk_norm",
//                           "whole_qk_norm", "clip",
//                           "has_sinks", "gate", "window", "rope", of latent attention "d_latent", "d_shared_rope",
//             "d_query_latent"},
//             "conv": {"n_taps", "n_channels", "is_gated"},
//             "state": {"recurrence", "n_heads", "n_groups", "d_key", "d_value", "n_stat_heads"},
//             "fast": {"model", "n_heads", "d_head", "d_hidden", "batch_size", "n_qk_taps"},
//             "moe": {"n_experts", "n_chosen", "score", "renormalise", "renormalise_epsilon", "scale", "n_groups",
//                     "n_kept_groups", "group_by_sum_of_two", "d_expert", "gate_limit", "gate_slope", "d_shared"}}]
// A layer has the objects of what it consists of. Members that are absent have the values of a plain decoder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"
#include "probes/run_info.h"

namespace orrery {

struct ModelDescription {
  ModelConfig config;
  std::vector<std::string> layer_labels;  // as many as config.layers
};

std::string config_to_json(const ModelConfig& config);
std::string layers_to_json(const ModelConfig& config, const std::vector<std::string>& layer_labels);

// The texts may come from a stranger: sizes are bounded, every count is checked. kInvalidFile with one sentence that
// names the member.
Result<ModelDescription> model_from_json(std::string_view config, std::string_view layers);

}  // namespace orrery
