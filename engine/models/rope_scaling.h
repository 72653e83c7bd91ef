// Rotary frequencies from a model's configuration: base, partial rotation and scaling, in both formats' spellings.
#pragma once

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

// Fills rope.inverse_frequencies and rope.magnitude for heads of width d_head. Scalings: none, linear, llama3 (as
// rope_scaling / rope_parameters, or as GGUF's tensor rope_freqs). kUnsupported names another one.
Result<void> read_rope(const ModelFile& file, int64_t d_head, RopeConfig& rope);

}  // namespace orrery
