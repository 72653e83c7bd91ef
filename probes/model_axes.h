// What the probes' axes are for a model: which layers have a quantity, and how many heads there are.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config.h"

namespace orrery {

std::vector<int32_t> no_layers(const ModelConfig& config);   // for what belongs to no layer: always empty
std::vector<int32_t> all_layers(const ModelConfig& config);  // 0 .. n_layers - 1
// Layers that have softmax attention, alone or beside another mixer; ascending.
std::vector<int32_t> attention_layers(const ModelConfig& config);
// Query heads along the head axis: the most that any attention layer has. Layers with fewer are padded.
int64_t n_attention_heads(const ModelConfig& config);

}  // namespace orrery
