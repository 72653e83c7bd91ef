// Statistics of the softmax over a row of logits: the likeliest ids, entropy, and what is outside them
// (`output.top`, `output.entropy`, `output.tail`, `lens.top`).
#pragma once

#include <cstdint>

#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

inline constexpr int32_t kOutputTopMax = 64;

// Where the statistics of row r go; null slots are not computed.
struct OutputStats {
  // [n_top, 2] id, value: likeliest first, ties to the lower id; padded with (-1, NaN) where the vocabulary is smaller.
  StatSlot top;
  int32_t n_top = kOutputTopMax;  // 1..kOutputTopMax
  bool log_probability = true;    // value: ln p (output.top), or p (lens.top)
  StatSlot entropy;               // [1] nats
  StatSlot tail;                  // [1] probability outside the n_top, summed as such (exact when tiny; 0 when none)
};

// logits: [n_rows, vocab], finite or -inf. Sums in f32 lanes of at most a few hundred terms, those in double.
void output_stats(Matrix<const float> logits, const OutputStats& stats, ThreadPool& pool);

// The same in plain scalar code, all in double.
void output_stats_reference(Matrix<const float> logits, const OutputStats& stats);

}  // namespace orrery
