#include "kernels/cuda/language.h"
#include "kernels/cuda/row_change.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostThreads = 256;

struct RowChangeArguments {
  const float* before;
  const float* after;
  float* change;
  float* step;
  float* cosine;
  int64_t before_stride;
  int64_t after_stride;
  int64_t change_stride;
  int64_t step_stride;
  int64_t cosine_stride;
  int64_t n_cols;
  int64_t has_earlier;
};

// A block per row.
__global__ void row_change_kernel(RowChangeArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  const int64_t row = blockIdx.x;
  const float* const before = a.before + row * a.before_stride;
  const float* const after = a.after + row * a.after_stride;
  float* const change = a.change + row * a.change_stride;
  double size = 0.0, moved = 0.0, earlier = 0.0, both = 0.0;
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) {
    const float now = after[i] - before[i];
    size += double{before[i]} * double{before[i]};
    moved += double{now} * double{now};
    if (a.has_earlier != 0) {
      earlier += double{change[i]} * double{change[i]};
      both += double{change[i]} * double{now};
    }
    change[i] = now;
  }
  size = block_sum(size, sums);
  moved = block_sum(moved, sums);
  earlier = block_sum(earlier, sums);
  both = block_sum(both, sums);
  if (threadIdx.x != 0) return;
  a.step[row * a.step_stride] = static_cast<float>(sqrt(moved) / sqrt(size));
  a.cosine[row * a.cosine_stride] =
      a.has_earlier != 0 ? static_cast<float>(both / (sqrt(moved) * sqrt(earlier))) : bits_to_float(0x7fc00000u);
}

struct RowDivergenceArguments {
  const float* p;
  const float* q;
  float* out;
  int64_t p_stride;
  int64_t q_stride;
  int64_t out_stride;
  int64_t n_cols;
};

// A block per row.
__global__ void row_divergence_kernel(RowDivergenceArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  ORRERY_SHARED(float, maxima, kWarp);
  const float* const p = a.p + blockIdx.x * a.p_stride;
  const float* const q = a.q + blockIdx.x * a.q_stride;
  float greatest_p = -infinity(), greatest_q = -infinity();
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) {
    greatest_p = fmaxf(greatest_p, p[i]);
    greatest_q = fmaxf(greatest_q, q[i]);
  }
  greatest_p = block_max(greatest_p, maxima);
  greatest_q = block_max(greatest_q, maxima);
  double sum_p = 0.0, sum_q = 0.0, weighted = 0.0;
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) {
    const float x = fmaxf(p[i] - greatest_p, -200.0f), y = fmaxf(q[i] - greatest_q, -200.0f);
    const float e = expf(x);
    sum_p += double{e};
    sum_q += double{expf(y)};
    weighted += double{e} * double{x - y};
  }
  sum_p = block_sum(sum_p, sums);
  sum_q = block_sum(sum_q, sums);
  weighted = block_sum(weighted, sums);
  if (threadIdx.x == 0) {
    a.out[blockIdx.x * a.out_stride] = static_cast<float>(weighted / sum_p - log(sum_p) + log(sum_q));
  }
}

}  // namespace

void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine, CommandStream& stream) {
  const RowChangeArguments arguments{.before = args.before.data,
                                     .after = args.after.data,
                                     .change = args.change.data,
                                     .step = step.data,
                                     .cosine = cosine.data,
                                     .before_stride = args.before.row_stride,
                                     .after_stride = args.after.row_stride,
                                     .change_stride = args.change.row_stride,
                                     .step_stride = step.row_stride,
                                     .cosine_stride = cosine.row_stride,
                                     .n_cols = args.before.n_cols,
                                     .has_earlier = args.has_earlier ? 1 : 0};
  stream.push(make_launch("row_change", row_change_kernel, {.x = static_cast<uint32_t>(args.before.n_rows)},
                          {.x = threads_for(args.before.n_cols, kMostThreads)}, arguments));
}

void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out, CommandStream& stream) {
  const RowDivergenceArguments arguments{p.data,       q.data,         out.data, p.row_stride,
                                         q.row_stride, out.row_stride, p.n_cols};
  stream.push(make_launch("row_divergence", row_divergence_kernel, {.x = static_cast<uint32_t>(p.n_rows)},
                          {.x = threads_for(p.n_cols, kMostThreads)}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
