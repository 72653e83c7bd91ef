#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/matmul_strips.h"
#include "kernels/thread_pool.h"

namespace orrery {

namespace {

// Rows of x that one thread quantizes at a time: below that, sharing costs more than it gains.
constexpr int64_t kQuantizeGrain = 4;

bool has_blocks(const MatmulTarget& target) { return is_quantized(target.weight.dtype); }

void check_shapes(Matrix<const float> x, const MatmulTarget& target) {
  CHECK(matmul_supports(target.weight.dtype), "matmul of an integer tensor");
  CHECK(target.weight.n_cols() == x.n_cols, "weight columns differ from the columns of x");
  CHECK(target.out.n_rows == x.n_rows && target.out.n_cols == target.weight.n_rows(), "out has another shape");
  CHECK(target.bias.empty() || static_cast<int64_t>(target.bias.size()) == target.out.n_cols, "bias has another shape");
  CHECK(!has_blocks(target) || x.n_cols % dtype_info(target.weight.dtype).block_size == 0,
        "rows of quantized weights are whole blocks");
}

}  // namespace

struct MatmulScratch::Buffers {
  QuantizedRows rows;
};

MatmulScratch::MatmulScratch() : buffers_(std::make_unique<Buffers>()) {}
MatmulScratch::~MatmulScratch() = default;
MatmulScratch::MatmulScratch(MatmulScratch&&) noexcept = default;
MatmulScratch& MatmulScratch::operator=(MatmulScratch&&) noexcept = default;

bool matmul_supports(DType dtype) { return is_float(dtype) || is_quantized(dtype); }

void matmul(Matrix<const float> x, std::span<const MatmulTarget> targets, MatmulScratch& scratch, ThreadPool& pool) {
  int64_t total = 0;
  for (const MatmulTarget& target : targets) {
    check_shapes(x, target);
    total += n_strips(target);
  }
  if (x.n_rows == 0 || total == 0) return;
  QuantizedRows& rows = scratch.buffers().rows;
  if (std::any_of(targets.begin(), targets.end(), has_blocks)) {
    rows.resize(x);
    pool.parallel_for(x.n_rows, kQuantizeGrain, [&](int64_t begin, int64_t end) { quantize_rows(rows, begin, end); });
  }
  pool.parallel_for(total, pool.grain_for(total), [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // number of the target's first strip
    for (const MatmulTarget& target : targets) {
      const int64_t n = n_strips(target);
      const int64_t from = std::max<int64_t>(begin - first, 0), to = std::min(end - first, n);
      if (from < to) {
        if (has_blocks(target)) {
          quantized_strips(rows, target, from, to);
        } else {
          float_strips(x, target, from, to);
        }
      }
      first += n;
    }
  });
}

void reference_strips(Matrix<const float> x, const MatmulTarget& target, int64_t begin, int64_t end) {
  const int64_t first = begin * kStripOutputs, count = std::min(end * kStripOutputs, target.weight.n_rows()) - first;
  MatmulTarget part;
  part.weight = {target.weight.dtype, Shape({count, x.n_cols}), target.weight.row(first)};
  if (!target.bias.empty()) part.bias = target.bias.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  part.out = target.out.cols(first, count);
  matmul_reference(x, part);
}

}  // namespace orrery
