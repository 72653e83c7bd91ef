// What models of state-space layers alone share: names under "backbone.", layers of one norm and one mixer.
#pragma once

#include "engine/models/decoder_builder.h"

namespace orrery {

inline constexpr TensorName kBackboneNorm{"blk.{}.attn_norm.weight", "backbone.layers.{}.norm.weight"};

DecoderNames backbone_names(const ModelFile& file);

// Sizes, and layers that have a matrix state and no feed-forward. ties: a folder without tie_word_embeddings ties.
Result<ModelConfig> read_backbone_sizes(const ModelFile& file, bool ties);

}  // namespace orrery
