// Rotary position embedding, in place: pairs of dimensions of each head turn by position * inv_freq.
// Source: Su et al. 2021, eq. 34.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// Which dimensions of a head form pair i of n_rot / 2.
enum class RopePairing : uint8_t {
  kHalfSplit,  // i and i + n_rot / 2 (GPT-NeoX; Hugging Face's layout)
  kAdjacent,   // 2 i and 2 i + 1 (the original; GGUF llama)
};

// The turns of a batch's rows: made once per step and reused by every layer with the same frequencies.
class RopeTable {
 public:
  // positions: one per row, >= 0; inv_freq: [n_rot / 2] radians per position. Angles are computed in double, so they
  // hold at any position; magnitude multiplies cosine and sine (YaRN's attention factor; 1 otherwise).
  void set(std::span<const int64_t> positions, std::span<const float> inv_freq, float magnitude = 1.0f);

  int64_t n_rows() const { return n_rows_; }
  int64_t n_pairs() const { return n_pairs_; }
  const float* cosines(int64_t row) const { return turns_.data() + 2 * row * n_pairs_; }      // [n_pairs]
  const float* sines(int64_t row) const { return turns_.data() + (2 * row + 1) * n_pairs_; }  // [n_pairs]

 private:
  int64_t n_rows_ = 0;
  int64_t n_pairs_ = 0;
  std::vector<float> turns_;  // [n_rows, 2, n_pairs] cosines, sines
};

// x: [table.n_rows(), n_heads * d_head]. Dimensions of a head from 2 * n_pairs on stay as they are.
void rope(Matrix<float> x, const RopeTable& table, int32_t d_head, RopePairing pairing, ThreadPool& pool);

// The same in plain scalar code.
void rope_reference(Matrix<float> x, const RopeTable& table, int32_t d_head, RopePairing pairing);

}  // namespace orrery
