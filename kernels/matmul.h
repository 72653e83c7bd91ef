// out = x W^T (+ bias), on weights as they are stored: F32, F16, BF16, or any quantized type (block_formats.h).
//
// Quantized weights: each row of x is rounded once per call, per block of 32, to 16 bits n = round(x / d), d = max|x| /
// 32512 (f32). Elements that share a weight's scale d_w (32, or 16 of them) contribute float(sum of integer products) *
// (d_w * d_x), and where the format has a least value m_w also m_w * (d_x * sum n), to an f32 accumulator, in order.
// So an output differs from float64 by at most
//   sum over blocks of 32 of max|x| / 63000 * sum |w|  +  (n_in / 8 + 4) * 2^-24 * sum (|w| + 2 |m_w|) |x|.
// Float weights: f32 products and sums in fixed lanes, whole in order. A row's result is bit-identical whatever the
// other rows, the number of rows (prefill or decode) and of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/base/dtype.h"
#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// One weight matrix that is applied to x. Shapes are checked (CHECK) once per call.
struct MatmulTarget {
  TensorView weight;            // [n_out, n_in]; quantized: n_in in whole blocks. Any alignment.
  std::span<const float> bias;  // [n_out] or empty
  Matrix<float> out;            // [n_rows, n_out]; must not overlap x
};

// Buffers that matmul reuses from call to call (quantized activations). One per thread that calls matmul.
class MatmulScratch {
 public:
  MatmulScratch();
  ~MatmulScratch();
  MatmulScratch(MatmulScratch&&) noexcept;
  MatmulScratch& operator=(MatmulScratch&&) noexcept;

  struct Buffers;
  Buffers& buffers() { return *buffers_; }

 private:
  std::unique_ptr<Buffers> buffers_;
};

// True for the dtypes that `weight` may have.
bool matmul_supports(DType dtype);

// x: [n_rows, n_in]. The targets share x, so that it is quantized once and all run in one parallel loop.
void matmul(Matrix<const float> x, std::span<const MatmulTarget> targets, MatmulScratch& scratch, ThreadPool& pool);

// The same for one target in plain scalar code with double accumulators, on x as it is.
void matmul_reference(Matrix<const float> x, const MatmulTarget& target);

}  // namespace orrery
