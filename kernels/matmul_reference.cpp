#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/embedding.h"
#include "kernels/matmul.h"
#include "kernels/matmul_strips.h"

namespace orrery {

namespace {

// x as the integer kernels see it: rounded to int8 per block of 32.
std::vector<double> rounded(std::span<const float> x) {
  std::vector<double> out(x.size());
  for (size_t begin = 0; begin < x.size(); begin += 32) {
    float greatest = 0.0f;
    for (size_t i = begin; i < begin + 32; ++i) greatest = std::max(greatest, std::fabs(x[i]));
    const float step = greatest / 127.0f, inverse = greatest > kLeastGreatest ? 127.0f / greatest : 0.0f;
    for (size_t i = begin; i < begin + 32; ++i) out[i] = std::nearbyint(x[i] * inverse) * double{step};
  }
  return out;
}

}  // namespace

void matmul_reference(Matrix<const float> x, const MatmulTarget& target) {
  CHECK(matmul_supports(target.weight.dtype), "matmul of an integer tensor");
  const bool quantized = dtype_info(target.weight.dtype).block_size > 1;
  const size_t n_in = static_cast<size_t>(x.n_cols);
  std::vector<std::vector<double>> inputs;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    const std::span<const float> row = x.row_span(r);
    inputs.push_back(quantized ? rounded(row) : std::vector<double>(row.begin(), row.end()));
  }
  std::vector<float> weights(n_in);
  for (int64_t o = 0; o < target.weight.n_rows(); ++o) {
    dequantize_row_reference(target.weight, o, weights);
    for (int64_t r = 0; r < x.n_rows; ++r) {
      double sum = target.bias.empty() ? 0.0 : double{target.bias[static_cast<size_t>(o)]};
      for (size_t i = 0; i < n_in; ++i) sum += inputs[static_cast<size_t>(r)][i] * weights[i];
      target.out.row(r)[o] = static_cast<float>(sum);
    }
  }
}

}  // namespace orrery
