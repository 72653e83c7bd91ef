// Which kind each layer of a hybrid is, from the lists that config.json has under several names and in several words.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "engine/model_file.h"

namespace orrery {

enum class LayerKind : uint8_t {
  kAttention,
  kState,        // a recurrence
  kFeedForward,  // nothing but a feed-forward
  kExperts,      // nothing but experts
  kHybrid,       // a recurrence, with more around it
};

struct LayerWord {
  std::string_view word;
  LayerKind kind;
};

// A kind for each of n_layers layers, from the first of `keys` that config.json has; empty where it has none.
// kInvalidFile for a list of another length, kUnsupported naming key and word for one that is not among `words`.
Result<std::vector<LayerKind>> read_layer_kinds(const ModelFile& file, std::span<const ConfigKey> keys,
                                                std::span<const LayerWord> words, int64_t n_layers);

// The same where the list is a text with a letter for each layer.
Result<std::vector<LayerKind>> read_layer_pattern(const ModelFile& file, ConfigKey key,
                                                  std::span<const LayerWord> letters, int64_t n_layers);

// The words of most: mamba or linear_attention, attention or full_attention.
inline constexpr LayerWord kStateOrAttention[] = {{"mamba", LayerKind::kState},
                                                  {"linear_attention", LayerKind::kState},
                                                  {"attention", LayerKind::kAttention},
                                                  {"full_attention", LayerKind::kAttention}};

// In a GGUF file a layer without key heads has a recurrence.
Result<std::vector<LayerKind>> layer_kinds_by_heads(const ModelFile& file, int64_t n_layers);

}  // namespace orrery
