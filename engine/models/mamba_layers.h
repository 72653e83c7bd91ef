// Layers of Mamba-1: their sizes from settings and tensors, their weights. For the architectures that have such layers.
#pragma once

#include <memory>
#include <string_view>

#include "engine/models/decoder_builder.h"

namespace orrery {

struct MambaNames {
  TensorName in{"blk.{}.ssm_in.weight", "backbone.layers.{}.mixer.in_proj.weight"};
  TensorName in_bias{"blk.{}.ssm_in.bias", "backbone.layers.{}.mixer.in_proj.bias"};
  TensorName taps{"blk.{}.ssm_conv1d.weight", "backbone.layers.{}.mixer.conv1d.weight"};
  TensorName taps_bias{"blk.{}.ssm_conv1d.bias", "backbone.layers.{}.mixer.conv1d.bias"};
  TensorName project{"blk.{}.ssm_x.weight", "backbone.layers.{}.mixer.x_proj.weight"};
  TensorName time_step{"blk.{}.ssm_dt.weight", "backbone.layers.{}.mixer.dt_proj.weight"};
  TensorName time_step_bias{"blk.{}.ssm_dt.bias", "backbone.layers.{}.mixer.dt_proj.bias"};
  TensorName log_decay{"blk.{}.ssm_a", "backbone.layers.{}.mixer.A_log"};  // in GGUF -exp(A_log)
  TensorName skip{"blk.{}.ssm_d", "backbone.layers.{}.mixer.D"};
  TensorName out{"blk.{}.ssm_out.weight", "backbone.layers.{}.mixer.out_proj.weight"};
  TensorName out_bias{"blk.{}.ssm_out.bias", "backbone.layers.{}.mixer.out_proj.bias"};
  TensorName delta_norm{"blk.{}.ssm_dt_norm.weight", ""};
  TensorName b_norm{"blk.{}.ssm_b_norm.weight", ""};
  TensorName c_norm{"blk.{}.ssm_c_norm.weight", ""};
};

struct MambaKeys {
  ConfigKey taps{"ssm.conv_kernel", "conv_kernel"};
  ConfigKey d_inner{"ssm.inner_size", "intermediate_size"};
  ConfigKey d_state{"ssm.state_size", "state_size"};
  ConfigKey rank{"ssm.time_step_rank", "time_step_rank"};  // in config.json also "auto": d_model / 16, rounded up
  ConfigKey expansion{"", "expand"};                       // d_inner / d_model
  std::string_view bias = "use_bias";                      // of the projections
  std::string_view taps_bias = "use_conv_bias";
};

// How the steps of time, inputs (B) and outputs (C) of the state are normed.
enum class MambaNorms : uint8_t { kNone, kUnweighted, kWeighted };

// Fills `conv` and `state` of the layers that have a matrix state; the tensors decide, and what is stated must agree.
// kInvalidFile, kUnsupported for another activation than SiLU.
Result<void> read_mamba_layers(const ModelFile& file, const MambaKeys& keys, const MambaNames& names,
                               ModelConfig& config);

std::unique_ptr<Mixer> mamba_mixer(DecoderBuilder& decoder, int32_t layer, const MambaNames& names, MambaNorms norms,
                                   float norm_epsilon);

// A = -exp(A_log), as a GGUF file has it and as a folder leaves to compute: `n` numbers f32 of this shape.
TensorView log_decays(TensorPlacer& place, TensorName name, int32_t layer, Shape shape);

}  // namespace orrery
