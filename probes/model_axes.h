// What the probes' axes are for a model: which layers have a quantity, and how long the axes of heads, taps and chosen
// experts are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/config.h"

namespace orrery {

std::vector<int32_t> no_layers(const ModelConfig& config);   // for what belongs to no layer: always empty
std::vector<int32_t> all_layers(const ModelConfig& config);  // 0 .. n_layers - 1
// Layers that have it, alone or beside another mixer; ascending.
std::vector<int32_t> attention_layers(const ModelConfig& config);   // softmax attention
std::vector<int32_t> state_layers(const ModelConfig& config);       // a recurrent state
std::vector<int32_t> fast_layers(const ModelConfig& config);        // weights that learn while they read
std::vector<int32_t> conv_layers(const ModelConfig& config);        // a short convolution, gated or before a recurrence
std::vector<int32_t> gated_conv_layers(const ModelConfig& config);  // one between two gates
std::vector<int32_t> moe_layers(const ModelConfig& config);         // experts

bool has_loop(const ModelConfig& config);
bool has_loop_gate(const ModelConfig& config);  // one that says with which probability a token stops

// What one layer has along an axis; 0 where it lacks the quantity.
int32_t attention_heads_in(const LayerConfig& layer);  // query heads
int32_t state_heads_in(const LayerConfig& layer);      // heads of the recurrence, or groups of Mamba-1's channels
int32_t fast_heads_in(const LayerConfig& layer);       // heads that learn
int32_t conv_taps_in(const LayerConfig& layer);
int32_t chosen_experts_in(const LayerConfig& layer);  // per token

// How long an axis is: the most that any layer has. Layers with fewer are padded.
int64_t longest(const ModelConfig& config, int32_t (*size_in)(const LayerConfig& layer));

// What place `head` of state.* stands for in a layer: "head 3", or "channels 12–15" for a group of Mamba-1's channels,
// which has 16 of them: channel c is in group floor(16 c / channels).
std::string state_head_name(const LayerConfig& layer, int32_t head);
// The same of the whole axis: "heads", or "16 groups of 100 channels".
std::string state_heads_name(const LayerConfig& layer);

}  // namespace orrery
