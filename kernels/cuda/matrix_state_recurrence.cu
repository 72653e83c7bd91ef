// The recurrence itself: rows of the heads' matrices stay in registers while all tokens of a sequence go by.
#include "kernels/cuda/matrix_state_pass.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / static_cast<int>(kWarp);

// How the work is shared: kTeam lanes have kRows rows of the heads' matrices in registers, kChannels channels of their
// keys each. Fewer lanes than a warp for short keys.
template <int kTeam, int kChannels, int kRows>
struct Shares {
  static constexpr int kTeamLanes = kTeam;
  static constexpr int kChannelsOfLane = kChannels;
  static constexpr int kRowsOfTeam = kRows;
  static constexpr int kKey = kTeam * kChannels;               // the longest key
  static constexpr int kBlockRows = kThreads / kTeam * kRows;  // of a block

  // What is in shared memory, and from which float on.
  static constexpr int kTokens = kKey <= 128 ? 16 : 2048 / kKey;
  static constexpr int kKeys = 0;                                  // [kTokens, kKey] zeros where there is nothing
  static constexpr int kQueries = kKeys + kTokens * kKey;          // the same
  static constexpr int kValues = kQueries + kTokens * kKey;        // [kTokens, kBlockRows]
  static constexpr int kGains = kValues + kTokens * kBlockRows;    // the same: w
  static constexpr int kDecays = kGains + kTokens * kBlockRows;    // the same: a; of channels that differ, their rate
  static constexpr int kSquares = kDecays + kTokens * kBlockRows;  // [kTokens, 2] of key and query, for statistics
  static constexpr int kFloats = kSquares + kTokens * 2;
  // Beyond, of what erases by a pair.
  static constexpr int kEraseReads = kFloats;                          // [kTokens, kKey] zeros where there is nothing
  static constexpr int kEraseWrites = kEraseReads + kTokens * kKey;    // the same
  static constexpr int kEraseSquares = kEraseWrites + kTokens * kKey;  // [kTokens] of what is written
  static constexpr int kFloatsWithPair = kEraseSquares + kTokens;
};

// Brings the tokens from `row` on, of which there are n, to shared memory; n_staged >= n.
template <class S, StateErase kErase, bool kByChannel, typename Floats>
__device__ void stage(const StateArguments& a, int64_t row, int32_t n, int32_t n_staged, int32_t group,
                      int32_t first_of_group, Floats& staged) {
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int64_t first_key = int64_t{group} * a.d_key;
  for (int32_t i = thread; i < n_staged * S::kKey; i += kThreads) {
    const int32_t token = i / S::kKey, channel = i % S::kKey;
    const bool is_there = token < n && channel < a.d_key;
    staged[S::kKeys + i] = is_there ? a.k[(row + token) * a.k_stride + first_key + channel] : 0.0f;
    staged[S::kQueries + i] = is_there ? a.q[(row + token) * a.q_stride + first_key + channel] : 0.0f;
    if constexpr (kErase == StateErase::kPair) {
      const int64_t column = first_key + channel;
      staged[S::kEraseReads + i] = is_there ? a.erase_read[(row + token) * a.erase_read_stride + column] : 0.0f;
      staged[S::kEraseWrites + i] = is_there ? a.erase_write[(row + token) * a.erase_write_stride + column] : 0.0f;
    }
  }
  for (int32_t i = thread; i < n_staged * S::kBlockRows; i += kThreads) {
    const int32_t token = i / S::kBlockRows, of_group = first_of_group + i % S::kBlockRows;
    float value = 0.0f, gain = 0.0f, decay = 1.0f;
    if (token < n && of_group < a.rows_of_group()) {
      const int64_t state_row = int64_t{group} * a.rows_of_group() + of_group, head = state_row / a.d_value;
      value = a.v[(row + token) * a.v_stride + state_row];
      gain = a.write == nullptr ? 1.0f : a.write[(row + token) * a.write_stride + head];
      if constexpr (kByChannel) {
        decay = a.decay.rate_per_head > 1 ? 0.0f : a.decay.rate_at(row + token, head, 0);
      } else if (a.decay.any()) {
        decay = expf(a.decay.at(row + token, head, 0));
      }
    }
    staged[S::kValues + i] = value;
    staged[S::kGains + i] = gain;
    staged[S::kDecays + i] = decay;
  }
  if (a.parts == nullptr) return;
  __syncthreads();
  const int32_t lane = thread % static_cast<int32_t>(kWarp);
  for (int32_t token = thread / static_cast<int32_t>(kWarp); token < n_staged; token += kWarps) {
    float key = 0.0f, query = 0.0f, erased = 0.0f;
    for (int32_t i = token * S::kKey + lane; i < (token + 1) * S::kKey; i += static_cast<int32_t>(kWarp)) {
      key = fmaf(staged[S::kKeys + i], staged[S::kKeys + i], key);
      query = fmaf(staged[S::kQueries + i], staged[S::kQueries + i], query);
      if constexpr (kErase == StateErase::kPair) {
        erased = fmaf(staged[S::kEraseWrites + i], staged[S::kEraseWrites + i], erased);
      }
    }
    key = warp_sum(key);
    query = warp_sum(query);
    if constexpr (kErase == StateErase::kPair) erased = warp_sum(erased);
    if (lane == 0) {
      staged[S::kSquares + 2 * token] = key;
      staged[S::kSquares + 2 * token + 1] = query;
      if constexpr (kErase == StateErase::kPair) staged[S::kEraseSquares + token] = erased;
    }
  }
}

// Blocks over runs of kBlockRows rows of the heads' matrices that share their keys (x), and sequences (y). Tokens that
// erase nothing are read kAtOnce at a time: a row's sum is the same, and takes fewer shuffles.
template <class S, StateErase kErase, bool kByChannel>
__global__ void __launch_bounds__(kThreads) matrix_state_kernel(StateArguments a) {
  constexpr bool kByPair = kErase == StateErase::kPair, kErases = kErase != StateErase::kNone;
  constexpr int kTeam = S::kTeamLanes, kChannels = S::kChannelsOfLane, kRows = S::kRowsOfTeam;
  constexpr int kAtOnce = kErases ? 1 : 4, kSums = kAtOnce * kRows, kLanesOfSum = kTeam / kSums;
  static_assert(kLanesOfSum >= 1 && S::kTokens % kAtOnce == 0);
  ORRERY_SHARED(float, staged, kByPair ? S::kFloatsWithPair : S::kFloats);
  const int32_t n_tiles = (a.rows_of_group() + S::kBlockRows - 1) / S::kBlockRows;
  const auto group = static_cast<int32_t>(blockIdx.x) / n_tiles;
  const int32_t first_of_group = static_cast<int32_t>(blockIdx.x) % n_tiles * S::kBlockRows;
  const auto lane = static_cast<int32_t>(threadIdx.x) % kTeam, warp_lane = static_cast<int32_t>(threadIdx.x % kWarp);
  const int32_t first = static_cast<int32_t>(threadIdx.x) / kTeam * kRows;  // of the block's rows
  const int64_t first_state_row = int64_t{group} * a.rows_of_group() + first_of_group + first;
  const int32_t n_rows = least_of(kRows, a.rows_of_group() - first_of_group - first);  // that there are, or less than 0
  const StateRows sequence = a.sequences[blockIdx.y];

  // The sum that this lane gets: of which token and row.
  const int32_t own_token = lane / kLanesOfSum / kRows, own = lane / kLanesOfSum % kRows;
  const bool writes = lane % kLanesOfSum == 0 && own < n_rows;
  const int64_t own_state_row = first_state_row + own;
  const float skip = a.skip == nullptr || own >= n_rows ? 0.0f : a.skip[own_state_row / a.d_value];

  float state[kRows][kChannels], logs[kRows][kChannels];
  ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
    ORRERY_UNROLL for (int j = 0; j < kChannels; ++j) {
      const int32_t channel = j * kTeam + lane;
      const bool is_there = r < n_rows && channel < a.d_key;
      state[r][j] = is_there ? sequence.state[(first_state_row + r) * a.d_key + channel] : 0.0f;
      logs[r][j] = kByChannel && is_there ? a.decay.log_at((first_state_row + r) / a.d_value, channel) : 0.0f;
    }
  }

  for (int64_t row = sequence.begin; row < sequence.end; row += S::kTokens) {
    const auto n = static_cast<int32_t>(sequence.end - row < S::kTokens ? sequence.end - row : S::kTokens);
    __syncthreads();
    stage<S, kErase, kByChannel>(a, row, n, (n + kAtOnce - 1) / kAtOnce * kAtOnce, group, first_of_group, staged);
    __syncthreads();
    for (int32_t begin = 0; begin < n; begin += kAtOnce) {
      float reads[kSums], norms[kSums], recalled[kRows] = {};
      // What the rows recall by a staged vector, each lane of them all.
      [[maybe_unused]] const auto recall = [&](int vectors) {
        ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
          ORRERY_UNROLL for (int j = 0; j < kChannels; ++j) {
            recalled[r] = fmaf(state[r][j], staged[vectors + begin * S::kKey + j * kTeam + lane], recalled[r]);
          }
        }
        const float sum = warp_sums<kRows, kTeam / 2>(recalled);
        ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
          recalled[r] = __shfl_sync(kWholeWarp, sum, static_cast<uint32_t>(warp_lane - lane + r * (kTeam / kRows)));
        }
      };
      if constexpr (kByPair) recall(S::kEraseReads);
      ORRERY_UNROLL for (int t = 0; t < kAtOnce; ++t) {
        const int32_t token = begin + t;
        const int32_t of_rows = token * S::kBlockRows + first;
        float k[kChannels], q[kChannels];
        ORRERY_UNROLL for (int j = 0; j < kChannels; ++j) {
          k[j] = staged[S::kKeys + token * S::kKey + j * kTeam + lane];
          q[j] = staged[S::kQueries + token * S::kKey + j * kTeam + lane];
        }
        ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
          const float decay = staged[S::kDecays + of_rows + r];
          ORRERY_UNROLL for (int j = 0; j < kChannels; ++j) {
            if constexpr (kByChannel) {
              const int32_t channel = j * kTeam + lane;
              float rate = decay;
              if (a.decay.rate_per_head > 1 && token < n && r < n_rows && channel < a.d_key) {
                rate = a.decay.rate_at(row + token, (first_state_row + r) / a.d_value, channel);
              }
              state[r][j] *= token < n ? expf(rate * logs[r][j]) : 1.0f;
            } else {
              state[r][j] *= decay;
            }
          }
        }
        if constexpr (kErase == StateErase::kDelta) recall(S::kKeys);
        ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
          const float kept = kByPair ? 0.0f : recalled[r];
          const float change = staged[S::kGains + of_rows + r] * (staged[S::kValues + of_rows + r] - kept);
          float read = 0.0f, norm = 0.0f;
          ORRERY_UNROLL for (int j = 0; j < kChannels; ++j) {
            state[r][j] = fmaf(change, k[j], state[r][j]);
            if constexpr (kByPair) {
              const float b = staged[S::kEraseWrites + token * S::kKey + j * kTeam + lane];
              state[r][j] = fmaf(-recalled[r], b, state[r][j]);
            }
            read = fmaf(state[r][j], q[j], read);
          }
          if (a.parts != nullptr) {
            ORRERY_UNROLL for (int j = 0; j < kChannels; ++j) norm = fmaf(state[r][j], state[r][j], norm);
          }
          reads[t * kRows + r] = read;
          norms[t * kRows + r] = norm;
        }
      }
      const float read = warp_sums<kSums, kTeam / 2>(reads);
      const int32_t token = begin + own_token;
      const bool puts = writes && token < n;
      const float value = staged[S::kValues + token * S::kBlockRows + first + own];
      if (puts) a.out[(row + token) * a.out_stride + own_state_row] = fmaf(a.read_scale, read, skip * value);
      if (a.parts == nullptr) continue;
      const float norm = warp_sums<kSums, kTeam / 2>(norms);
      if (!puts) continue;
      float own_recalled = 0.0f;
      ORRERY_UNROLL for (int r = 0; r < kRows; ++r) own_recalled = r == own ? recalled[r] : own_recalled;
      const float gain = staged[S::kGains + token * S::kBlockRows + first + own];
      const float key = staged[S::kSquares + 2 * token], query = staged[S::kSquares + 2 * token + 1];
      StatePart part;
      part.norm = norm;
      part.write = gain * value * (gain * value) * key;
      if constexpr (kByPair) {
        part.erase = own_recalled * own_recalled * staged[S::kEraseSquares + token];
      } else {
        part.erase = gain * own_recalled * (gain * own_recalled) * key;
      }
      part.read = query > 0.0f ? read * read / query : 0.0f;
      a.parts[(row + token - a.first_row) * a.n_heads * a.d_value + own_state_row] = part;
    }
  }
  ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
    ORRERY_UNROLL for (int j = 0; j < kChannels; ++j) {
      const int32_t channel = j * kTeam + lane;
      if (r < n_rows && channel < a.d_key) sequence.state[(first_state_row + r) * a.d_key + channel] = state[r][j];
    }
  }
}

// Keys that are longer than registers hold: the matrix stays in memory. Blocks over rows of the heads' matrices (x), a
// warp for each, and sequences (y).
__global__ void matrix_state_in_memory_kernel(StateArguments a) {
  const int64_t n_state_rows = int64_t{a.n_heads} * a.d_value;
  const int64_t state_row = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (state_row >= n_state_rows) return;
  const auto head = static_cast<int32_t>(state_row / a.d_value);
  const int64_t first_key = int64_t{head} * a.n_groups / a.n_heads * a.d_key;
  const auto lane = static_cast<int32_t>(threadIdx.x % kWarp);
  const StateRows sequence = a.sequences[blockIdx.y];
  float* const state = sequence.state + state_row * a.d_key;
  const float skip = a.skip == nullptr ? 0.0f : a.skip[head];
  for (int64_t row = sequence.begin; row < sequence.end; ++row) {
    const float* const q = a.q + row * a.q_stride + first_key;
    const float* const k = a.k + row * a.k_stride + first_key;
    const float v = a.v[row * a.v_stride + state_row];
    const float write = a.write == nullptr ? 1.0f : a.write[row * a.write_stride + head];
    const bool by_pair = a.erase == StateErase::kPair;
    const float* const e = by_pair ? a.erase_read + row * a.erase_read_stride + first_key : k;
    const float* const b = by_pair ? a.erase_write + row * a.erase_write_stride + first_key : k;
    float recalled = 0.0f;
    for (int32_t i = lane; i < a.d_key; i += static_cast<int32_t>(kWarp)) {
      if (by_pair) recalled = fmaf(state[i], e[i], recalled);
      if (a.decay.any()) state[i] *= expf(a.decay.at(row, head, i));
      if (!by_pair) recalled = fmaf(state[i], k[i], recalled);
    }
    recalled = a.erase != StateErase::kNone ? warp_sum(recalled) : 0.0f;
    const float change = write * (v - (by_pair ? 0.0f : recalled));
    float read = 0.0f, state_squares = 0.0f, key_squares = 0.0f, query_squares = 0.0f, erase_squares = 0.0f;
    for (int32_t i = lane; i < a.d_key; i += static_cast<int32_t>(kWarp)) {
      float value = fmaf(change, k[i], state[i]);
      if (by_pair) {
        value = fmaf(-recalled, b[i], value);
        erase_squares = fmaf(b[i], b[i], erase_squares);
      }
      state[i] = value;
      read = fmaf(value, q[i], read);
      state_squares = fmaf(value, value, state_squares);
      key_squares = fmaf(k[i], k[i], key_squares);
      query_squares = fmaf(q[i], q[i], query_squares);
    }
    read = warp_sum(read);
    if (lane == 0) a.out[row * a.out_stride + state_row] = fmaf(a.read_scale, read, skip * v);
    if (a.parts == nullptr) continue;
    state_squares = warp_sum(state_squares);
    key_squares = warp_sum(key_squares);
    query_squares = warp_sum(query_squares);
    if (by_pair) erase_squares = warp_sum(erase_squares);
    if (lane != 0) continue;
    StatePart part;
    part.norm = state_squares;
    part.write = write * v * (write * v) * key_squares;
    part.erase = by_pair ? recalled * recalled * erase_squares : write * recalled * (write * recalled) * key_squares;
    part.read = query_squares > 0.0f ? read * read / query_squares : 0.0f;
    a.parts[(row - a.first_row) * n_state_rows + state_row] = part;
  }
}

template <class S, StateErase kErase, bool kByChannel>
void push_kernel(const StateArguments& arguments, int64_t n_sequences, CommandStream& stream) {
  const auto n_groups = static_cast<uint32_t>(arguments.n_groups);
  const Extent grid{.x = blocks_for(arguments.rows_of_group(), S::kBlockRows) * n_groups,
                    .y = static_cast<uint32_t>(n_sequences)};
  stream.push(
      make_launch("matrix_state", matrix_state_kernel<S, kErase, kByChannel>, grid, {.x = kThreads}, arguments));
}

template <class S, bool kByChannel>
void push_erasing(const StateArguments& arguments, int64_t n_sequences, CommandStream& stream) {
  switch (arguments.erase) {
    case StateErase::kNone:
      return push_kernel<S, StateErase::kNone, kByChannel>(arguments, n_sequences, stream);
    case StateErase::kDelta:
      return push_kernel<S, StateErase::kDelta, kByChannel>(arguments, n_sequences, stream);
    case StateErase::kPair:
      return push_kernel<S, StateErase::kPair, kByChannel>(arguments, n_sequences, stream);
  }
}

template <class S>
void push_shares(const StateArguments& arguments, int64_t n_sequences, CommandStream& stream) {
  arguments.decay.is_scalar() ? push_erasing<S, false>(arguments, n_sequences, stream)
                              : push_erasing<S, true>(arguments, n_sequences, stream);
}

}  // namespace

void push_recurrence(const StateArguments& arguments, int64_t n_sequences, CommandStream& stream) {
  if (arguments.d_key <= 16) return push_shares<Shares<4, 4, 1>>(arguments, n_sequences, stream);
  if (arguments.d_key <= 32) return push_shares<Shares<8, 4, 2>>(arguments, n_sequences, stream);
  if (arguments.d_key <= 64) return push_shares<Shares<16, 4, 4>>(arguments, n_sequences, stream);
  if (arguments.d_key <= 128) return push_shares<Shares<32, 4, 4>>(arguments, n_sequences, stream);
  if (arguments.d_key <= 256) return push_shares<Shares<32, 8, 4>>(arguments, n_sequences, stream);
  const Extent grid{.x = blocks_for(int64_t{arguments.n_heads} * arguments.d_value, kWarps),
                    .y = static_cast<uint32_t>(n_sequences)};
  stream.push(make_launch("matrix_state", matrix_state_in_memory_kernel, grid, {.x = kThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
