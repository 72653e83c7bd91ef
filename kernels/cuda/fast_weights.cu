#include <vector>

#include "kernels/cuda/fast_weights.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostThreads = 256;

struct Sequence {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t position = 0;  // of row `begin`
  float* state = nullptr;
};

struct Stat {
  float* data = nullptr;  // or null
  int64_t stride = 0;
};

struct LearnArguments {
  const float* q;
  const float* k;
  const float* v;
  const float* rate;
  const float* share;
  const float* learned;
  const float* norm_weight;
  const float* norm_bias;
  float* out;
  const Sequence* sequences;
  int64_t q_stride;
  int64_t k_stride;
  int64_t v_stride;
  int64_t rate_stride;
  int64_t out_stride;
  Stat loss_before;
  Stat loss_after;
  Stat own_rate;
  Stat update;
  Stat drift;
  int32_t d_head;
  int32_t d_hidden;
  int32_t batch_size;
  float base_rate;
  float epsilon;
  uint32_t padding;
};

// A matrix [n_in, n_out] whose bias is one more row. A thread has columns of its own.
struct Affine {
  int32_t n_in;
  int32_t n_out;
  float* start;
  float* sums;

  __device__ int64_t n_weights() const { return int64_t{n_in + 1} * n_out; }
};

// Places in a block's shared memory.
struct Places {
  int32_t q;         // [d]
  int32_t k;         // [d]
  int32_t target;    // [d] v - k
  int32_t z;         // [d]
  int32_t g;         // [d]
  int32_t hidden;    // [d_hidden] after GELU
  int32_t hidden_g;  // [d_hidden]; GELU's slope before
  int32_t n;
};

__device__ __host__ inline Places places_of(int32_t d, int32_t d_hidden) {
  return {.q = 0,
          .k = d,
          .target = 2 * d,
          .z = 3 * d,
          .g = 4 * d,
          .hidden = 5 * d,
          .hidden_g = 5 * d + d_hidden,
          .n = 5 * d + 2 * d_hidden};
}

__device__ inline float gelu_tanh(float x) { return tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)); }
__device__ inline float gelu_slope(float x, float tanh) {
  const float steepness = 0.7978845608028654f * (1.0f + 3.0f * 0.044715f * x * x);
  return 0.5f * (1.0f + tanh) + 0.5f * x * (1.0f - tanh * tanh) * steepness;
}

// Column j of x (W_0 - share G) + b, x being at place `from` of the shared memory.
template <typename Floats>
__device__ float column(const Affine& layer, Floats& floats, int32_t from, float share, int32_t j) {
  const int64_t of_bias = int64_t{layer.n_in} * layer.n_out + j;
  float sum = fmaf(-share, layer.sums[of_bias], layer.start[of_bias]);
  for (int32_t i = 0; i < layer.n_in; ++i) {
    const int64_t at = int64_t{i} * layer.n_out + j;
    sum = fmaf(floats[from + i], fmaf(-share, layer.sums[at], layer.start[at]), sum);
  }
  return sum;
}

// Column j of G, with the gradient g of what the layer makes of x: the change in W, squared.
template <typename Floats>
__device__ double add_gradient(const Affine& layer, Floats& floats, int32_t from, float g, int32_t j, float rate,
                               float share, float share_before) {
  double squares = 0.0;
  for (int32_t i = 0; i <= layer.n_in; ++i) {
    const int64_t at = int64_t{i} * layer.n_out + j;
    const float x = i < layer.n_in ? static_cast<float>(floats[from + i]) : 1.0f;
    const float old = layer.sums[at], sum = fmaf(rate * x, g, old);
    layer.sums[at] = sum;
    const double change = double{share} * double{sum} - double{share_before} * double{old};
    squares += change * change;
  }
  return squares;
}

__device__ inline double drift_squares(const Affine& layer, const float* learned, float share, int32_t j) {
  double squares = 0.0;
  for (int32_t i = 0; i <= layer.n_in; ++i) {
    const int64_t at = int64_t{i} * layer.n_out + j;
    const float away = fmaf(-share, layer.sums[at], layer.start[at] - learned[at]);
    squares += double{away} * double{away};
  }
  return squares;
}

__device__ inline void settle(const Affine& layer, float share, int32_t j) {
  for (int32_t i = 0; i <= layer.n_in; ++i) {
    const int64_t at = int64_t{i} * layer.n_out + j;
    layer.start[at] = fmaf(-share, layer.sums[at], layer.start[at]);
    layer.sums[at] = 0.0f;
  }
}

// fn(j) for this thread's share of 0 .. n - 1.
template <typename Fn>
__device__ void for_own(int32_t n, Fn&& fn) {
  for (auto j = static_cast<int32_t>(threadIdx.x); j < n; j += static_cast<int32_t>(blockDim.x)) fn(j);
}

// A block is one head while it learns from one sequence.
template <typename Floats, typename Sums>
struct Learner {
  const LearnArguments& a;
  Floats& floats;
  Sums& sums;
  Places at;
  Affine first;
  Affine second;
  const float* gamma;
  const float* beta;

  // z = what W_0 - share G makes of x at place `from`; wants_slope: GELU's slope is kept, too.
  __device__ void apply(int32_t from, float share, bool wants_slope) {
    if (a.d_hidden == 0) {
      for_own(a.d_head, [&](int32_t j) { floats[at.z + j] = column(first, floats, from, share, j); });
      __syncthreads();
      return;
    }
    for_own(a.d_hidden, [&](int32_t j) {
      const float x = column(first, floats, from, share, j), tanh = gelu_tanh(x);
      floats[at.hidden + j] = 0.5f * x * (1.0f + tanh);
      if (wants_slope) floats[at.hidden_g + j] = gelu_slope(x, tanh);
    });
    __syncthreads();
    for_own(a.d_head, [&](int32_t j) { floats[at.z + j] = column(second, floats, at.hidden, share, j); });
    __syncthreads();
  }

  // z = (z - mean) / deviation, which is returned.
  __device__ float standardise() {
    const auto n = static_cast<float>(a.d_head);
    float sum = 0.0f, squares = 0.0f;
    for_own(a.d_head, [&](int32_t j) { sum += floats[at.z + j]; });
    const float mean = block_sum(sum, sums) / n;
    for_own(a.d_head, [&](int32_t j) {
      const float centred = floats[at.z + j] - mean;
      squares = fmaf(centred, centred, squares);
    });
    const float deviation = sqrtf(block_sum(squares, sums) / n + a.epsilon);
    for_own(a.d_head, [&](int32_t j) { floats[at.z + j] = (floats[at.z + j] - mean) / deviation; });
    return deviation;
  }

  __device__ void put_loss(const Stat& stat, int64_t row, float share) {
    if (stat.data == nullptr) return;
    apply(at.k, share, false);
    standardise();
    double squares = 0.0;
    for_own(a.d_head, [&](int32_t j) {
      const double away = double{gamma[j] * floats[at.z + j] + beta[j] - floats[at.target + j]};
      squares += away * away;
    });
    put(stat, row, 0.5 * static_cast<double>(block_total(squares)));
  }

  // block_sum for doubles, in the array of floats: the statistics' sums need no more than that to be exact to 1e-6.
  __device__ float block_total(double value) { return block_sum(static_cast<float>(value), sums); }

  __device__ void put(const Stat& stat, int64_t row, double value) {
    if (threadIdx.x == 0) stat.data[row * stat.stride + blockIdx.x] = static_cast<float>(value);
  }

  // Adds the token's gradients, at W_0, to G.
  __device__ void learn(int64_t row, float rate, float share, float share_before) {
    apply(at.k, 0.0f, true);
    const auto n = static_cast<float>(a.d_head);
    const float deviation = standardise();
    float sum = 0.0f, sum_x = 0.0f;
    for_own(a.d_head, [&](int32_t j) {
      const float x = floats[at.z + j];
      const float g = (gamma[j] * x + beta[j] - floats[at.target + j]) * gamma[j];
      floats[at.g + j] = g;
      sum += g;
      sum_x = fmaf(g, x, sum_x);
    });
    const float mean = block_sum(sum, sums) / n, mean_x = block_sum(sum_x, sums) / n;
    for_own(a.d_head,
            [&](int32_t j) { floats[at.g + j] = (floats[at.g + j] - mean - floats[at.z + j] * mean_x) / deviation; });
    __syncthreads();
    double squares = 0.0;
    if (a.d_hidden == 0) {
      for_own(a.d_head, [&](int32_t j) {
        squares += add_gradient(first, floats, at.k, floats[at.g + j], j, rate, share, share_before);
      });
    } else {
      for_own(a.d_hidden, [&](int32_t i) {
        float through = 0.0f;
        for (int32_t j = 0; j < a.d_head; ++j) {
          through = fmaf(second.start[int64_t{i} * a.d_head + j], floats[at.g + j], through);
        }
        const float g = through * floats[at.hidden_g + i];
        squares += add_gradient(first, floats, at.k, g, i, rate, share, share_before);
      });
      for_own(a.d_head, [&](int32_t j) {
        squares += add_gradient(second, floats, at.hidden, floats[at.g + j], j, rate, share, share_before);
      });
    }
    if (a.update.data != nullptr) put(a.update, row, sqrt(static_cast<double>(block_total(squares))));
    __syncthreads();
  }

  __device__ void put_drift(int64_t row, const float* learned, float share) {
    if (a.drift.data == nullptr) return;
    double squares = 0.0;
    for_own(first.n_out, [&](int32_t j) { squares += drift_squares(first, learned, share, j); });
    if (a.d_hidden > 0) {
      const float* const of_second = learned + first.n_weights();
      for_own(second.n_out, [&](int32_t j) { squares += drift_squares(second, of_second, share, j); });
    }
    put(a.drift, row, sqrt(static_cast<double>(block_total(squares))));
  }
};

// Blocks over heads (x) and sequences (y).
__global__ void fast_weights_kernel(LearnArguments a) {
  ORRERY_DYNAMIC_SHARED(float, floats);
  ORRERY_SHARED(float, sums, kWarp);
  const Sequence sequence = a.sequences[blockIdx.y];
  const int32_t d = a.d_head, head = static_cast<int32_t>(blockIdx.x);
  const int64_t first_column = int64_t{head} * d;
  Affine first{.n_in = d, .n_out = a.d_hidden == 0 ? d : a.d_hidden, .start = nullptr, .sums = nullptr};
  Affine second{.n_in = a.d_hidden, .n_out = d, .start = nullptr, .sums = nullptr};
  const int64_t n_weights = first.n_weights() + (a.d_hidden == 0 ? 0 : second.n_weights());
  first.start = sequence.state + 2 * head * n_weights;
  first.sums = first.start + n_weights;
  second.start = first.start + first.n_weights();
  second.sums = first.sums + first.n_weights();
  const float* const learned = a.learned + head * n_weights;
  if (sequence.position == 0) {
    for (int64_t i = threadIdx.x; i < n_weights; i += blockDim.x) {
      first.start[i] = learned[i];
      first.sums[i] = 0.0f;
    }
    __syncthreads();
  }
  const Places at = places_of(d, a.d_hidden);
  Learner<decltype(floats), decltype(sums)> learner{
      a, floats, sums, at, first, second, a.norm_weight + first_column, a.norm_bias + first_column};

  for (int64_t row = sequence.begin; row < sequence.end; ++row) {
    const auto place = static_cast<int32_t>((sequence.position + row - sequence.begin) % a.batch_size);
    const float share = a.share[place], share_before = place == 0 ? 0.0f : a.share[place - 1];
    const float rate = a.base_rate / (1.0f + expf(-a.rate[row * a.rate_stride + head])) / static_cast<float>(a.d_head);
    for_own(d, [&](int32_t j) {
      const float k = a.k[row * a.k_stride + first_column + j];
      floats[at.q + j] = a.q[row * a.q_stride + first_column + j];
      floats[at.k + j] = k;
      floats[at.target + j] = a.v[row * a.v_stride + first_column + j] - k;
    });
    __syncthreads();
    learner.put_loss(a.loss_before, row, share_before);
    learner.learn(row, rate, share, share_before);
    learner.put_loss(a.loss_after, row, share);
    if (a.own_rate.data != nullptr) learner.put(a.own_rate, row, double{share * rate});
    learner.put_drift(row, learned, share);
    learner.apply(at.q, share, false);
    learner.standardise();
    for_own(d, [&](int32_t j) {
      const float y = learner.gamma[j] * floats[at.z + j] + learner.beta[j];
      a.out[row * a.out_stride + first_column + j] = floats[at.q + j] + y;
    });
    if (place + 1 == a.batch_size) {
      for_own(first.n_out, [&](int32_t j) { settle(first, share, j); });
      if (a.d_hidden > 0) for_own(second.n_out, [&](int32_t j) { settle(second, share, j); });
    }
    __syncthreads();
  }
}

Stat stat_of(StatSlot slot) { return {slot.data, slot.row_stride}; }

}  // namespace

void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats, CommandStream& stream) {
  const FastWeightsSizes& sizes = args.sizes;
  std::vector<Sequence> sequences;
  for (const StateRows& rows : args.sequences) {
    sequences.push_back({.begin = rows.begin,
                         .end = rows.end,
                         .position = args.positions[static_cast<size_t>(rows.begin)],
                         .state = rows.state});
  }
  if (sequences.empty()) return;
  const LearnArguments arguments{.q = args.q.data,
                                 .k = args.k.data,
                                 .v = args.v.data,
                                 .rate = args.rate.data,
                                 .share = args.share.data(),
                                 .learned = args.learned.data(),
                                 .norm_weight = args.norm_weight.data(),
                                 .norm_bias = args.norm_bias.data(),
                                 .out = args.out.data,
                                 .sequences = stream.upload(std::span<const Sequence>(sequences)),
                                 .q_stride = args.q.row_stride,
                                 .k_stride = args.k.row_stride,
                                 .v_stride = args.v.row_stride,
                                 .rate_stride = args.rate.row_stride,
                                 .out_stride = args.out.row_stride,
                                 .loss_before = stat_of(stats.loss_before),
                                 .loss_after = stat_of(stats.loss_after),
                                 .own_rate = stat_of(stats.rate),
                                 .update = stat_of(stats.update),
                                 .drift = stat_of(stats.drift),
                                 .d_head = sizes.d_head,
                                 .d_hidden = sizes.d_hidden,
                                 .batch_size = sizes.batch_size,
                                 .base_rate = args.base_rate,
                                 .epsilon = args.epsilon,
                                 .padding = 0};
  const Extent grid{.x = static_cast<uint32_t>(sizes.n_heads), .y = static_cast<uint32_t>(sequences.size())};
  const int32_t widest = sizes.d_hidden > sizes.d_head ? sizes.d_hidden : sizes.d_head;
  stream.push(make_launch("fast_weights", fast_weights_kernel, grid, {.x = threads_for(widest, kMostThreads)},
                          arguments, static_cast<size_t>(places_of(sizes.d_head, sizes.d_hidden).n) * sizeof(float)));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
