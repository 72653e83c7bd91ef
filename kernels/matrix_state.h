// The recurrence of state-space and linear-attention layers. Every head has a matrix S [d_value, d_key]; a token does
//     S <- S diag(a)                        decay
//     S <- S - w (S k) k^T                  erase what the key recalls (the delta rule), where erase is kDelta
//     S <- S - (S' e) b^T                   erase what e recalls of S', the state before its decay, where it is kPair
//     S <- S + w v k^T                      write
//     y  = scale * S q + skip * v           read
// with a = exp(rate * log_decay). Sources: Gu and Dao 2023 (Mamba: one head a channel, d_value 1, a vector of decays);
// Dao and Gu 2024 (Mamba-2: one decay a head, w = the time step); Yang et al. 2024 (gated delta nets); Sun et al. 2023
// (RetNet: fixed decays); Katharopoulos et al. 2020 (linear attention, without normaliser); Peng et al. 2025 (RWKV-7:
// kPair); De et al. 2024 (RG-LRU: every channel a head of one number, q = k = 1).
//
// Tokens are taken one after the other, whether they come in a batch or in steps, so both give the same bits.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"
#include "kernels/state_rows.h"

namespace orrery {

class ThreadPool;

enum class StateErase : uint8_t { kNone, kDelta, kPair };

struct MatrixStateSizes {
  int32_t n_heads = 0;
  int32_t n_groups = 0;  // of keys and queries, shared by n_heads / n_groups consecutive heads
  int32_t d_key = 0;
  int32_t d_value = 0;
};

// What a = exp(rate * log_decay) is made of; both per head, or per channel of a head's key, whichever is given.
struct StateDecay {
  Matrix<const float> rate;          // [n_rows, n_heads] or [n_rows, n_heads * d_key]; null: 1
  std::span<const float> log_decay;  // [n_heads] or [n_heads * d_key], <= 0; empty: 1, so that rate itself is the log
};

struct MatrixStateArgs {
  MatrixStateSizes sizes;
  Matrix<const float> q, k;   // [n_rows, n_groups * d_key]
  Matrix<const float> v;      // [n_rows, n_heads * d_value]
  StateDecay decay;           // neither rate nor log_decay: nothing decays
  Matrix<const float> write;  // w [n_rows, n_heads]; null: 1
  StateErase erase = StateErase::kNone;
  Matrix<const float> erase_read = {};   // e [n_rows, n_groups * d_key], as b, of kPair
  Matrix<const float> erase_write = {};  // b
  std::span<const float> skip;           // [n_heads] or empty
  float read_scale = 1.0f;
  Matrix<float> out;  // y [n_rows, n_heads * d_value]; may be v itself
  // Their states: [n_heads, d_value, d_key] f32.
  std::span<const StateRows> sequences;
};

// Statistics of n_heads heads, or of fewer groups of them: head h belongs to group floor(n * h / n_heads), which counts
// as one matrix with all its heads' rows. w v is what is written.
struct MatrixStateStats {
  int32_t n = 0;   // groups, 1 .. n_heads
  StatSlot norm;   // [n] Frobenius norm of S after the token
  StatSlot write;  // [n] norm of w v k^T
  StatSlot erase;  // [n] norm of w (S k) k^T, or of (S' e) b^T; 0 where nothing is erased
  StatSlot read;   // [n] |S q| / |q|; 0 where q is 0
  StatSlot keep;   // [n, 3] of the decays a of the group's channels: geometric mean, least, greatest

  bool any() const { return norm || write || erase || read || keep; }
};

// Deterministic for any number of threads; a sequence's result does not depend on the others.
void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats, ThreadPool& pool);
// The same in plain scalar code, in double within a token.
void matrix_state_reference(const MatrixStateArgs& args, const MatrixStateStats& stats);

// Heads [begin, end): those of one group of statistics, or any others that are computed in one go.
struct HeadRange {
  int32_t begin = 0;
  int32_t end = 0;
};
// The heads h with floor(n * h / n_heads) = group.
HeadRange heads_of_group(int64_t group, int64_t n, int64_t n_heads);
// As matrix_state_reference, for some heads of one sequence, which are group `group` of the statistics.
void update_heads_reference(const MatrixStateArgs& args, const StateRows& rows, HeadRange heads, int64_t group,
                            const MatrixStateStats& stats);

// What a sequence's tokens 0 .. n - 1 put into a recurrence, kept where implied rows are wanted.
struct StateHistory {
  Matrix<const float> k;                // [n, n_groups * d_key]
  Matrix<const float> rate = {};        // as in StateDecay; null where it is there
  Matrix<const float> write = {};       // [n, n_heads]; null: 1
  Matrix<const float> erase_read = {};  // [n, n_groups * d_key], as the next, of kPair
  Matrix<const float> erase_write = {};
};

// The implied attention rows of the tokens at positions first .. first + q.n_rows - 1 of one sequence: y = sum_s
// row[s] (w v)_s before skip, signed. Backwards from x = scale * q: row[s] = k_s . x, x <- (a_s) (x - w_s k_s (k_s .
// x)); with kPair x <- a_s x - e_s (b_s . x).
struct StateRowArgs {
  MatrixStateSizes sizes;
  Matrix<const float> q;  // [n_rows, n_groups * d_key]
  StateHistory history;   // of at least first + n_rows tokens
  std::span<const float> log_decay;
  StateErase erase = StateErase::kNone;
  float read_scale = 1.0f;
  int64_t first = 0;
  int32_t n_stat_heads = 0;             // as MatrixStateStats::n; a group's row is the mean of its heads'
  std::span<const int32_t> stat_heads;  // ascending; those wanted
  int64_t n_keys = 0;                   // width of a row; zeros beyond the token itself
};

// rows: [stat_heads.size(), n_keys] of every row of q. In double.
void matrix_state_rows(const StateRowArgs& args, StatSlot rows, ThreadPool& pool);

}  // namespace orrery
