// Reads how a model turns its queries and keys, in both formats' spellings.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

// Which of a model's rotations: most have one, some one for each kind of layer.
struct RopeKind {
  std::string_view layer_type = {};  // empty: for all layers; "full_attention" or "sliding_attention"
  double default_base = 10000.0;     // where the file states none: the reference class's default_theta
  double usual_share = 1.0;          // of a head's dimensions that turn, where config.json states none
  bool whole_bounds = true;          // whether YaRN's ramp runs between whole dimensions, which GGUF does not say
  bool scales_scores = false;        // whether YaRN's magnitude goes into the scale of scores (DeepSeek)
};

// Fills rope.inverse_frequencies, magnitude and beyond for heads of width d_head.
// Spellings: rope_parameters (also by layer type), rope_theta with rope_scaling, Gemma's rope_local_base_freq; GGUF's
// rope.freq_base, rope.freq_base_swa, rope.scaling.* and the tensors rope_freqs, rope_factors_short, rope_factors_long.
// kInvalidFile for numbers that cannot be; kUnsupported names another scaling.
Result<void> read_rope(const ModelFile& file, int64_t d_head, const RopeKind& kind, RopeConfig& rope);

// What the scale of scores is to be multiplied with, where the kind has scales_scores: (0.1 mscale_all_dim ln factor +
// 1)^2. Source: reference class DeepseekV3Attention. GGUF: rope.scaling.yarn_log_multiplier is 0.1 mscale_all_dim, and
// mscale is the same.
Result<double> read_score_magnitude(const ModelFile& file, int64_t d_head, const RopeKind& kind);

// Positions that the model is made for, with the stretch of its rope scaling; 0 where the file does not say.
Result<int64_t> read_context_length(const ModelFile& file, int64_t d_head, const RopeKind& kind = {});

}  // namespace orrery
