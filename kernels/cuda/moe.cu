#include <cstring>

#include "kernels/cuda/language.h"
#include "kernels/cuda/moe.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostRouteThreads = 128;
constexpr uint32_t kSumThreads = 256;

// A number and its id as one number of the same order: greater values first, ties to the lower id (top_entry.h). 0
// stands for none.
using Key = uint64_t;

// What is not a number comes after all that is.
__device__ Key key_of(float value, int32_t id) {
  const uint32_t bits = float_to_bits(value == 0.0f ? 0.0f : value);  // -0 equals 0
  const uint32_t ordered = isnan(value) ? 0u : bits ^ (bits >> 31 != 0 ? 0xffffffffu : 0x80000000u);
  return Key{ordered} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

__device__ int32_t id_of(Key key) { return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key)); }

template <typename Keys>
__device__ Key block_greatest(Key key, Keys& keys) {
  const uint32_t lane = threadIdx.x % kWarp;
  for (uint32_t offset = kWarp / 2; offset > 0; offset /= 2) {
    const Key other = __shfl_xor_sync(kWholeWarp, key, offset);
    key = other > key ? other : key;
  }
  __syncthreads();  // the array may be in use by an earlier call
  if (lane == 0) keys[threadIdx.x / kWarp] = key;
  __syncthreads();
  key = keys[0];
  for (uint32_t warp = 1; warp < blockDim.x / kWarp; ++warp)
    key = keys[warp] > key ? static_cast<Key>(keys[warp]) : key;
  return key;
}

struct RouteArguments {
  const float* logits;
  const float* bias;  // or null
  float* scratch;     // [n_rows, scratch_floats()]
  int32_t* experts;   // [n_rows, n_chosen]
  float* weights;
  float* stat_experts;
  float* stat_weights;
  float* margin;
  float* entropy;
  int64_t logits_stride;
  int64_t stat_experts_stride;
  int64_t stat_weights_stride;
  int64_t margin_stride;
  int64_t entropy_stride;
  int32_t n_experts;
  int32_t n_chosen;
  int32_t n_groups;
  int32_t n_kept_groups;
  float scale;
  float epsilon;
  RouterScore score;
  bool renormalise;
  bool group_by_sum_of_two;
};

// What a row's threads write for each other.
struct RowScratch {
  __device__ RowScratch(const RouteArguments& a, float* memory)
      : scores(memory),
        ranking(scores + a.n_experts),
        group_worth(ranking + a.n_experts),
        weights(group_worth + a.n_groups),
        experts(reinterpret_cast<int32_t*>(weights + a.n_chosen)) {}

  float* scores;       // [n_experts] what weights are made of
  float* ranking;      // [n_experts] what experts are chosen by
  float* group_worth;  // [n_groups]
  float* weights;      // [n_chosen] of the chosen
  int32_t* experts;    // [n_chosen] these, in order of the ranking
};
__host__ __device__ int64_t scratch_floats(const RouteArguments& a) {
  return 2 * int64_t{a.n_experts} + a.n_groups + 2 * int64_t{a.n_chosen};
}

// The scores of a row's experts and the entropy of its distribution.
__device__ void score_experts(const RouteArguments& a, int64_t row, float* scores, float* ranking) {
  ORRERY_SHARED(float, sums, kWarp);
  const int32_t n = a.n_experts;
  const float* const logits = a.logits + row * a.logits_stride;
  const bool is_sigmoid = a.score == RouterScore::kSigmoid;
  float most = -infinity();
  for (auto i = static_cast<int32_t>(threadIdx.x); i < n; i += static_cast<int32_t>(blockDim.x))
    most = fmaxf(most, logits[i]);
  most = block_max(most, sums);
  // Of the distribution: sigmoids, or exponentials relative to the greatest.
  float sum = 0.0f, weighted = 0.0f;
  for (auto i = static_cast<int32_t>(threadIdx.x); i < n; i += static_cast<int32_t>(blockDim.x)) {
    const float exponent = logits[i] - most;
    const float p = is_sigmoid ? 1.0f / (1.0f + expf(-logits[i])) : expf(exponent);
    const float log_p = is_sigmoid ? logf(p) : exponent;
    scores[i] = p;
    sum += p;
    if (p > 0.0f) weighted = fmaf(p, log_p, weighted);
  }
  sum = block_sum(sum, sums);
  weighted = block_sum(weighted, sums);
  if (threadIdx.x == 0 && a.entropy != nullptr) a.entropy[row * a.entropy_stride] = logf(sum) - weighted / sum;
  for (auto i = static_cast<int32_t>(threadIdx.x); i < n; i += static_cast<int32_t>(blockDim.x)) {
    if (a.score == RouterScore::kSoftmax) scores[i] = scores[i] / sum;
    if (a.score == RouterScore::kSoftmaxOfChosen) scores[i] = logits[i];
    ranking[i] = scores[i] + (a.bias == nullptr ? 0.0f : a.bias[i]);
  }
}

// Takes the experts of all but the best groups out of the ranking.
__device__ void keep_groups(const RouteArguments& a, float* ranking, float* worth) {
  const int32_t n_groups = a.n_groups, n_members = a.n_experts / n_groups;
  for (auto g = static_cast<int32_t>(threadIdx.x); g < n_groups; g += static_cast<int32_t>(blockDim.x)) {
    float best = -infinity(), second = -infinity();
    for (int32_t i = 0; i < n_members; ++i) {
      const float value = ranking[g * n_members + i];
      second = fmaxf(second, fminf(best, value));
      best = fmaxf(best, value);
    }
    worth[g] = a.group_by_sum_of_two && n_members > 1 ? best + second : best;
  }
  __syncthreads();
  for (auto g = static_cast<int32_t>(threadIdx.x); g < n_groups; g += static_cast<int32_t>(blockDim.x)) {
    int32_t n_better = 0;
    for (int32_t other = 0; other < n_groups; ++other)
      n_better += key_of(worth[other], other) > key_of(worth[g], g) ? 1 : 0;
    if (n_better < a.n_kept_groups) continue;
    for (int32_t i = 0; i < n_members; ++i) ranking[g * n_members + i] = bits_to_float(0x7fc00000u);
  }
}

// The weights of the chosen experts, in the order of `experts`.
__device__ void weigh(const RouteArguments& a, const float* scores, const int32_t* experts, float* weights) {
  ORRERY_SHARED(float, sums, kWarp);
  const int32_t n = a.n_chosen;
  const bool of_chosen = a.score == RouterScore::kSoftmaxOfChosen;
  float most = -infinity();
  for (auto j = static_cast<int32_t>(threadIdx.x); j < n; j += static_cast<int32_t>(blockDim.x))
    most = fmaxf(most, scores[experts[j]]);
  most = block_max(most, sums);
  float sum = 0.0f;
  for (auto j = static_cast<int32_t>(threadIdx.x); j < n; j += static_cast<int32_t>(blockDim.x)) {
    const float own = scores[experts[j]];
    weights[j] = of_chosen ? expf(own - most) : own;
    sum += weights[j];
  }
  sum = block_sum(sum, sums);
  float divisor = of_chosen ? sum : 1.0f;
  if (a.renormalise) divisor *= (of_chosen ? 1.0f : sum) + a.epsilon;
  for (auto j = static_cast<int32_t>(threadIdx.x); j < n; j += static_cast<int32_t>(blockDim.x)) {
    weights[j] = weights[j] / divisor * a.scale;
  }
}

// A block per row.
__global__ void route_kernel(RouteArguments a) {
  ORRERY_SHARED(Key, keys, kWarp);
  const int64_t row = blockIdx.x;
  const int32_t n_experts = a.n_experts, n_chosen = a.n_chosen;
  const RowScratch scratch(a, a.scratch + row * scratch_floats(a));
  score_experts(a, row, scratch.scores, scratch.ranking);
  __syncthreads();
  if (a.n_kept_groups < a.n_groups) keep_groups(a, scratch.ranking, scratch.group_worth);
  __syncthreads();

  Key last = ~Key{0};
  for (int32_t j = 0; j <= n_chosen; ++j) {  // and the best that is not chosen
    Key best = 0;
    for (auto i = static_cast<int32_t>(threadIdx.x); i < n_experts; i += static_cast<int32_t>(blockDim.x)) {
      const Key key = key_of(scratch.ranking[i], i);
      if (key < last && key > best) best = key;
    }
    best = block_greatest(best, keys);
    if (threadIdx.x == 0) {
      if (j < n_chosen) {
        scratch.experts[j] = id_of(best);
      } else if (a.margin != nullptr) {
        const float of_other = best == 0 ? bits_to_float(0x7fc00000u) : scratch.ranking[id_of(best)];
        a.margin[row * a.margin_stride] = scratch.ranking[id_of(last)] - of_other;
      }
    }
    last = best;
  }
  __syncthreads();
  weigh(a, scratch.scores, scratch.experts, scratch.weights);
  __syncthreads();
  const int32_t* const experts = scratch.experts;
  const float* const weights = scratch.weights;
  for (auto j = static_cast<int32_t>(threadIdx.x); j < n_chosen; j += static_cast<int32_t>(blockDim.x)) {
    int32_t place = 0;
    const Key own = key_of(weights[j], experts[j]);
    for (int32_t i = 0; i < n_chosen; ++i) place += key_of(weights[i], experts[i]) > own ? 1 : 0;
    a.experts[row * n_chosen + place] = experts[j];
    a.weights[row * n_chosen + place] = weights[j];
    if (a.stat_experts != nullptr) {
      a.stat_experts[row * a.stat_experts_stride + place] = bits_to_float(static_cast<uint32_t>(experts[j]));
    }
    if (a.stat_weights != nullptr) a.stat_weights[row * a.stat_weights_stride + place] = weights[j];
  }
}

struct SumExpertsArguments {
  const float* x;
  const float* weights;
  float* out;
  int64_t x_stride;
  int64_t out_stride;
  int64_t n_rows;
  int64_t n_cols;
  int64_t n_chosen;
};

__global__ void sum_experts_kernel(SumExpertsArguments a) {
  const int64_t i = int64_t{blockIdx.x} * kSumThreads + threadIdx.x;
  if (i >= a.n_rows * a.n_cols) return;
  const int64_t row = i / a.n_cols, col = i % a.n_cols;
  float sum = 0.0f;
  for (int64_t j = row * a.n_chosen; j < (row + 1) * a.n_chosen; ++j) {
    sum = fmaf(a.weights[j], a.x[j * a.x_stride + col], sum);
  }
  a.out[row * a.out_stride + col] = sum;
}

}  // namespace

void route(Matrix<const float> logits, const float* bias, const RouterConfig& config, const Routes& routes,
           const RouterStats& stats, CommandStream& stream) {
  if (logits.n_rows == 0) return;
  RouteArguments arguments;
  std::memset(&arguments, 0, sizeof(arguments));  // padding too
  arguments.logits = logits.data;
  arguments.bias = bias;
  arguments.experts = routes.experts;
  arguments.weights = routes.weights;
  arguments.stat_experts = stats.experts.data;
  arguments.stat_weights = stats.weights.data;
  arguments.margin = stats.margin.data;
  arguments.entropy = stats.entropy.data;
  arguments.logits_stride = logits.row_stride;
  arguments.stat_experts_stride = stats.experts.row_stride;
  arguments.stat_weights_stride = stats.weights.row_stride;
  arguments.margin_stride = stats.margin.row_stride;
  arguments.entropy_stride = stats.entropy.row_stride;
  arguments.n_experts = config.n_experts;
  arguments.n_chosen = config.n_chosen;
  arguments.n_groups = config.n_groups;
  arguments.n_kept_groups = config.n_kept_groups;
  arguments.scale = config.scale;
  arguments.epsilon = config.renormalise_epsilon;
  arguments.score = config.score;
  arguments.renormalise = config.renormalise;
  arguments.group_by_sum_of_two = config.group_by_sum_of_two;
  arguments.scratch = reinterpret_cast<float*>(
      stream.shared_scratch(static_cast<size_t>(logits.n_rows * scratch_floats(arguments)) * sizeof(float)));
  stream.push(make_launch("route", route_kernel, {.x = static_cast<uint32_t>(logits.n_rows)},
                          {.x = threads_for(config.n_experts, kMostRouteThreads)}, arguments));
}

void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out, CommandStream& stream) {
  const SumExpertsArguments arguments{x.data,         routes.weights, out.data,   x.row_stride,
                                      out.row_stride, out.n_rows,     out.n_cols, routes.n_chosen};
  stream.push(make_launch("sum_experts", sum_experts_kernel, {.x = blocks_for(out.n_rows * out.n_cols, kSumThreads)},
                          {.x = kSumThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
