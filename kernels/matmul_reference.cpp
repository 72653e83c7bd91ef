#include <vector>

#include "kernels/base/check.h"
#include "kernels/embedding.h"
#include "kernels/matmul.h"

namespace orrery {

void matmul_reference(Matrix<const float> x, const MatmulTarget& target) {
  CHECK(matmul_supports(target.weight.dtype), "matmul of an integer tensor");
  const size_t n_in = static_cast<size_t>(x.n_cols);
  std::vector<float> weights(n_in);
  for (int64_t o = 0; o < target.weight.n_rows(); ++o) {
    dequantize_row(target.weight, o, weights);
    for (int64_t r = 0; r < x.n_rows; ++r) {
      double sum = target.bias.empty() ? 0.0 : double{target.bias[static_cast<size_t>(o)]};
      for (size_t i = 0; i < n_in; ++i) sum += double{x.row(r)[i]} * weights[i];
      target.out.row(r)[o] = static_cast<float>(sum);
    }
  }
}

}  // namespace orrery
