// What the kernels of the matrix state share. Internal to matrix_state.
#pragma once

#include <cstdint>

#include "kernels/cuda/command_stream.h"
#include "kernels/cuda/language.h"
#include "kernels/matrix_state.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// Logarithms of decays: rate * log_decay, each per head or per channel of a head's key, or 1 where it is null.
struct DecayLogs {
  const float* rate = nullptr;
  const float* log_decay = nullptr;
  int64_t rate_stride = 0;
  int32_t rate_per_head = 0;  // 1, or d_key
  int32_t log_per_head = 0;

  __host__ __device__ bool any() const { return rate != nullptr || log_decay != nullptr; }
  // Whether the channels of a head decay alike.
  __host__ __device__ bool is_scalar() const { return rate_per_head <= 1 && log_per_head <= 1; }
  // Of a row, a head and a channel of its key; where any().
  __device__ float at(int64_t row, int64_t head, int32_t channel) const {
    return rate_at(row, head, channel) * log_at(head, channel);
  }
  __device__ float rate_at(int64_t row, int64_t head, int32_t channel) const {
    if (rate == nullptr) return 1.0f;
    return rate[row * rate_stride + head * rate_per_head + (rate_per_head > 1 ? channel : 0)];
  }
  __device__ float log_at(int64_t head, int32_t channel) const {
    if (log_decay == nullptr) return 1.0f;
    return log_decay[head * log_per_head + (log_per_head > 1 ? channel : 0)];
  }
};

inline DecayLogs decay_logs(Matrix<const float> rate, std::span<const float> log_decay, int32_t n_heads) {
  DecayLogs logs;
  logs.rate = rate.data;
  logs.log_decay = log_decay.empty() ? nullptr : log_decay.data();
  logs.rate_stride = rate.row_stride;
  logs.rate_per_head = static_cast<int32_t>(rate.n_cols / n_heads);
  logs.log_per_head = static_cast<int32_t>(log_decay.size()) / n_heads;
  return logs;
}

// Heads [begin, end) of one of n groups of them.
struct HeadRange {
  int32_t begin = 0;
  int32_t end = 0;
};
__host__ __device__ inline HeadRange heads_of(int32_t group, int32_t n, int32_t n_heads) {
  const auto first_of = [&](int64_t g) { return static_cast<int32_t>((g * n_heads + n - 1) / n); };
  return {first_of(group), first_of(group + 1)};
}

__host__ __device__ inline int32_t least_of(int32_t a, int32_t b) { return a < b ? a : b; }

// What a row of a head's matrix adds to the squares of its group's statistics.
struct StatePart {
  float norm = 0.0f;
  float write = 0.0f;
  float erase = 0.0f;
  float read = 0.0f;
};

// The argument of the kernels that take tokens into matrices.
struct StateArguments {
  const float* q;
  const float* k;
  const float* v;
  const float* write;  // or null
  const float* erase_read;
  const float* erase_write;  // of kPair, or null
  const float* skip;         // or null
  float* out;
  const StateRows* sequences;
  StatePart* parts;  // [rows from first_row on, n_heads * d_value], or null
  int64_t q_stride;
  int64_t k_stride;
  int64_t v_stride;
  int64_t write_stride;
  int64_t erase_read_stride;
  int64_t erase_write_stride;
  int64_t out_stride;
  int64_t first_row;
  DecayLogs decay;
  int32_t n_heads;
  int32_t n_groups;
  int32_t d_key;
  int32_t d_value;
  StateErase erase;
  uint8_t unused[3] = {};  // launches are compared byte by byte
  float read_scale;

  __host__ __device__ int32_t rows_of_group() const { return n_heads / n_groups * d_value; }
};

// Takes the tokens of n_sequences runs of rows one after the other.
void push_recurrence(const StateArguments& arguments, int64_t n_sequences, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
