// The parts that matmul is made of: strips of 16 outputs, over all rows of x. Internal to the matmul files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/tensor.h"
#include "kernels/matmul.h"

namespace orrery {

// Outputs per strip: the 32-bit lanes of a 512-bit vector. The unit of parallel work.
inline constexpr int64_t kStripOutputs = 16;
inline constexpr int64_t kBlockElements = 32;
// x is rounded to 16 bits: 127 * 255 + 127 steps on either side of zero.
inline constexpr float kMostSteps = 32512.0f;
// A block of x whose greatest magnitude is no more counts as zero: kMostSteps / greatest must stay finite.
inline constexpr float kLeastGreatest = 1e-33f;

// Sums over elements of a block of x, for weights that are stored with an offset or a minimum.
struct QuantizedSums {
  float step_sum = 0.0f;  // d * sum n
  int32_t minus_sum = 0;  // -sum n
};

// 32 elements of a row of x, rounded to 16 bits: x is about d * n, n = 255 q + low. Two dot products of bytes instead
// of one cost little, as turning the weights and reading them dominates; and rounding to 8 bits, as is usual, moves the
// likeliest token's probability of SmolLM2 by 0.01 on average, where 16 bits do not show. 255, not 256, so that neither
// byte is -128, whose sign cannot be turned.
struct QuantizedBlock {
  int8_t q[kBlockElements];    // -127..127
  int8_t low[kBlockElements];  // -127..127
  float step = 0.0f;           // d
  QuantizedSums whole;
  QuantizedSums halves[2];  // elements 0..15, 16..31
};

// Rows that a tile of the product takes at once: their blocks lie together, so that one address serves all.
inline constexpr int64_t kTileRows = 8;

// Rows of x rounded to 16 bits in blocks of 32.
struct QuantizedRows {
  Matrix<const float> source;          // the rows themselves
  int64_t n_blocks = 0;                // per row
  std::vector<QuantizedBlock> blocks;  // [ceil(n_rows / 8), n_blocks, 8]

  int64_t index(int64_t row, int64_t block) const {
    return ((row / kTileRows) * n_blocks + block) * kTileRows + row % kTileRows;
  }
  // Makes room for the rows of x (n_cols a multiple of 32); quantize_rows fills it.
  void resize(Matrix<const float> x);
};

// Quantizes rows [begin, end) of rows.source.
void quantize_rows(QuantizedRows& rows, int64_t begin, int64_t end);

// Outputs of strips [begin, end) of a target, all rows.
void quantized_strips(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end);
void float_strips(Matrix<const float> x, const MatmulTarget& target, int64_t begin, int64_t end);

// The same by matmul_reference, for machines without a vector unit that we know.
void reference_strips(Matrix<const float> x, const MatmulTarget& target, int64_t begin, int64_t end);

inline int64_t n_strips(const MatmulTarget& target) {
  return (target.weight.n_rows() + kStripOutputs - 1) / kStripOutputs;
}

}  // namespace orrery
