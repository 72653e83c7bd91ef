// Layers of Mamba-2: their sizes from settings and tensors, their weights. For the architectures that have such layers.
#pragma once

#include "engine/blocks/mamba2_mixer.h"
#include "engine/models/decoder_builder.h"

namespace orrery {

struct Mamba2Names {
  TensorName in{"blk.{}.ssm_in.weight", "backbone.layers.{}.mixer.in_proj.weight"};
  TensorName in_bias{"blk.{}.ssm_in.bias", "backbone.layers.{}.mixer.in_proj.bias"};
  TensorName taps{"blk.{}.ssm_conv1d.weight", "backbone.layers.{}.mixer.conv1d.weight"};
  TensorName taps_bias{"blk.{}.ssm_conv1d.bias", "backbone.layers.{}.mixer.conv1d.bias"};
  TensorName time_step_bias{"blk.{}.ssm_dt.bias", "backbone.layers.{}.mixer.dt_bias"};
  TensorName log_decay{"blk.{}.ssm_a", "backbone.layers.{}.mixer.A_log"};  // in GGUF -exp(A_log)
  TensorName skip{"blk.{}.ssm_d", "backbone.layers.{}.mixer.D"};
  TensorName norm{"blk.{}.ssm_norm.weight", "backbone.layers.{}.mixer.norm.weight"};
  TensorName out{"blk.{}.ssm_out.weight", "backbone.layers.{}.mixer.out_proj.weight"};
  TensorName out_bias{"blk.{}.ssm_out.bias", "backbone.layers.{}.mixer.out_proj.bias"};
};

struct Mamba2Keys {
  ConfigKey taps{"ssm.conv_kernel", "conv_kernel"};
  ConfigKey d_inner{"ssm.inner_size", ""};
  ConfigKey d_state{"ssm.state_size", "state_size"};
  ConfigKey n_heads{"ssm.time_step_rank", "num_heads"};
  ConfigKey d_head{"", "head_dim"};
  ConfigKey n_groups{"ssm.group_count", "n_groups"};
  ConfigKey expansion{};  // d_inner / d_model
  ConfigKey time_steps{"", "time_step_limit"};
  std::string_view bias = {};  // whether the projections have biases, and the convolution; empty: it does not say
  std::string_view taps_bias = {};
  std::string_view activation = "hidden_act";  // config.json's, which must be SiLU; empty: it does not say
  int64_t usual_groups = 1;  // where a folder does not say: the class's default; a GGUF file without them has 1
};

// Where the mixer is one part of a layer, called mamba.
inline constexpr Mamba2Names kMamba2Part{.in = {"blk.{}.ssm_in.weight", "model.layers.{}.mamba.in_proj.weight"},
                                         .in_bias = {"blk.{}.ssm_in.bias", "model.layers.{}.mamba.in_proj.bias"},
                                         .taps = {"blk.{}.ssm_conv1d.weight", "model.layers.{}.mamba.conv1d.weight"},
                                         .taps_bias = {"blk.{}.ssm_conv1d.bias", "model.layers.{}.mamba.conv1d.bias"},
                                         .time_step_bias = {"blk.{}.ssm_dt.bias", "model.layers.{}.mamba.dt_bias"},
                                         .log_decay = {"blk.{}.ssm_a", "model.layers.{}.mamba.A_log"},
                                         .skip = {"blk.{}.ssm_d", "model.layers.{}.mamba.D"},
                                         .norm = {"blk.{}.ssm_norm.weight", "model.layers.{}.mamba.norm.weight"},
                                         .out = {"blk.{}.ssm_out.weight", "model.layers.{}.mamba.out_proj.weight"},
                                         .out_bias = {"blk.{}.ssm_out.bias", "model.layers.{}.mamba.out_proj.bias"}};
// Its settings, with mamba_ before them. A mamba_d_head of "auto" states nothing.
Mamba2Keys mamba2_part_keys(const ModelFile& file);

// Fills `conv` and `state` of the layers that have a matrix state; the tensors decide, and what is stated must agree.
// kInvalidFile, kUnsupported for another activation than SiLU.
Result<void> read_mamba2_layers(const ModelFile& file, const Mamba2Keys& keys, const Mamba2Names& names,
                                ModelConfig& config);

// The same for one layer, where not all have the same names; the activation is not asked for.
Result<void> read_mamba2_layer(const ModelFile& file, const Mamba2Keys& keys, const Mamba2Names& names, int32_t layer,
                               ModelConfig& config);

// A layer's mixer as Mamba-2 itself has it: gate, then norm by groups.
Result<Mamba2Config> mamba2_config(const ModelFile& file, const Mamba2Keys& keys, const ModelConfig& config,
                                   int32_t layer);
// with_norm: whether the gated output is normed.
Mamba2Weights mamba2_weights(DecoderBuilder& decoder, int32_t layer, const Mamba2Names& names, bool with_norm = true);

}  // namespace orrery
