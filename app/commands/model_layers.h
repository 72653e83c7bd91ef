// What `info` says of a model's layers and of the memory that a sequence takes, from its configuration alone.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/config.h"
#include "kernels/base/dtype.h"

namespace orrery {

// One object per layer: {"layer", "label", "summary", "mixers", "feed_forward", "d_ffn"}, and of what it has
// "attention", "convolution", "state", "fast_weights", "experts" with their sizes.
nlohmann::json describe_layers(const ModelConfig& config);

// {"layers": [begin, end], "iterations", "exit": "fixed", "gate", "step" or "kl", "threshold", "cache", "summary": the
// same as a sentence}.
nlohmann::json describe_loop(const LoopConfig& loop);

// config: unrolled, as iterations of a loop remember apart.
// {"kv", "bytes_per_token": what the keys and values of a token take while all layers keep them, "of_windows": how much
// of that belongs to layers that keep a window only, "constant": {"recurrent state", "convolution state", "fast
// weights"}: bytes}.
nlohmann::json describe_cache(const ModelConfig& config, DType kv);

}  // namespace orrery
