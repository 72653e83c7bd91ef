// qwen2: llama with biases on queries, keys and values, and a window in its upper layers if it is switched on (Qwen
// Team 2024). Reference class: transformers Qwen2ForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_qwen2_config(const ModelFile& file);

// Qwen's windows: with use_sliding_window, in the layers from max_window_layers on, or as layer_types lists them. GGUF
// files state none.
Result<void> read_qwen_windows(const ModelFile& file, ModelConfig& config);

}  // namespace orrery
