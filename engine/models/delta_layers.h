// Layers of gated delta nets: their sizes from settings and tensors, and the weights that all of them have alike. For
// the architectures that have such layers.
#pragma once

#include "engine/blocks/gated_delta.h"
#include "engine/models/decoder_builder.h"

namespace orrery {

struct DeltaNames {
  TensorName rate_bias{"blk.{}.ssm_dt.bias", "model.layers.{}.linear_attn.dt_bias"};
  TensorName log_decay{"blk.{}.ssm_a", "model.layers.{}.linear_attn.A_log"};  // in GGUF -exp(A_log)
  TensorName norm{"blk.{}.ssm_norm.weight", "model.layers.{}.linear_attn.norm.weight"};
  TensorName out{"blk.{}.ssm_out.weight", "model.layers.{}.linear_attn.out_proj.weight"};
};

struct DeltaKeys {
  ConfigKey d_key{"ssm.state_size", "linear_key_head_dim"};
  ConfigKey d_value{"", "linear_value_head_dim"};
  ConfigKey n_groups{"ssm.group_count", "linear_num_key_heads"};
  ConfigKey n_heads{"ssm.time_step_rank", "linear_num_value_heads"};
  ConfigKey value_width{"ssm.inner_size", ""};
  int64_t usual_groups = 1;  // where the file does not say: the class's default
};

// Fills `conv` (but for its taps) and `state` of a layer whose queries, keys and values are n_channels together; the
// tensors decide, and what is stated must agree. kInvalidFile.
Result<void> read_delta_layer(const ModelFile& file, const DeltaKeys& keys, const DeltaNames& names, int32_t layer,
                              int64_t n_channels, ModelConfig& config);

// All but the projections of the input and the taps.
GatedDeltaWeights delta_weights(DecoderBuilder& decoder, int32_t layer, const DeltaNames& names);

}  // namespace orrery
