// Weights that a head learns while it reads: test-time training, Sun et al. 2024 (TTT), sections 2.3 to 2.7. The inner
// model f, of weights W, is LN(x W + b) (TTT-Linear) or LN(gelu(x W1 + b1) W2 + b2) (TTT-MLP), LN with a learned gamma
// and beta per head. It is trained to make v - k of k:
//     l(W; k, v) = |f(k; W) - (v - k)|^2 / 2
//     G  <- G + rate * dl/dW (W_0; k, v)      W_0: the weights at the beginning of the mini-batch; G there: 0
//     W_t = W_0 - share * G                   share: of the token's place in the mini-batch, 1 / place and what is
//     learned y   = q + f(q; W_t)
// and W_0 <- W_t, G <- 0 after the last token of a mini-batch. rate = base_rate * sigmoid(its input) / d_head.
//
// Tokens are taken one after the other (the primal form), whether they come in a batch or in steps, so both give the
// same bits. W_t is never stored: what it makes of x is what W_0 - share * G makes of it.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"
#include "kernels/state_rows.h"

namespace orrery {

class ThreadPool;

struct FastWeightsSizes {
  int32_t n_heads = 0;
  int32_t d_head = 0;
  int32_t d_hidden = 0;    // of the MLP; 0: TTT-Linear
  int32_t batch_size = 0;  // tokens of a mini-batch

  // Of a head: W [d_head, d_head], b; or W1 [d_head, d_hidden], b1, W2 [d_hidden, d_head], b2; one after the other.
  int64_t n_weights() const {
    const int64_t d = d_head, h = d_hidden;
    return h == 0 ? d * d + d : 2 * d * h + h + d;
  }
};

struct FastWeightsArgs {
  FastWeightsSizes sizes;
  Matrix<const float> q, k, v;                    // [n_rows, n_heads * d_head]
  Matrix<const float> rate;                       // [n_rows, n_heads], before the sigmoid
  std::span<const float> share;                   // [batch_size], >= 0
  std::span<const float> learned;                 // [n_heads, n_weights]: W before the first token
  std::span<const float> norm_weight, norm_bias;  // [n_heads, d_head]
  float base_rate = 1.0f;
  float epsilon = 1e-6f;  // of the layer norm
  Matrix<float> out;      // y [n_rows, n_heads * d_head]; may be q itself
  // Of every row, in the host's memory: its place in the mini-batch is its remainder by batch_size. The state of a
  // sequence, [n_heads, 2, n_weights] f32 (W_0, then G), begins with the learned weights at position 0.
  std::span<const int64_t> positions;
  std::span<const StateRows> sequences;
};

// Per head, [n_heads] each. The weights are all of a head's, biases too; W_{t-1} are those that the token before was
// read with, which at the first one of a mini-batch are W_0, at the first of all the learned ones.
struct FastWeightsStats {
  StatSlot loss_before;  // l(W_{t-1}; k, v)
  StatSlot loss_after;   // l(W_t; k, v)
  StatSlot rate;         // share * rate: by how much the token's own gradient counts in W_t
  StatSlot update;       // |W_t - W_{t-1}|
  StatSlot drift;        // |W_t - learned|

  bool any() const { return loss_before || loss_after || rate || update || drift; }
};

// Deterministic for any number of threads; a sequence's result does not depend on the others.
void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats, ThreadPool& pool);
// The same in plain scalar code, in double within a token.
void fast_weights_reference(const FastWeightsArgs& args, const FastWeightsStats& stats);
// One head of one sequence.
void learn_head_reference(const FastWeightsArgs& args, const StateRows& rows, int32_t head,
                          const FastWeightsStats& stats);

}  // namespace orrery
