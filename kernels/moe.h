// Mixture of experts: which experts a token goes to, and the sum of what they answer.
// Sources: Shazeer et al. 2017; Fedus et al. 2021 (Switch); DeepSeek-AI 2024 (DeepSeek-V3, section 2.1.2: sigmoid
// scores, selection bias, groups).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

enum class RouterScore : uint8_t {
  kSoftmax,          // probabilities over all experts
  kSigmoid,          // each expert by itself
  kSoftmaxOfChosen,  // ranked by logit, softmax over the chosen ones
};

struct RouterConfig {
  int32_t n_experts = 0;
  int32_t n_chosen = 0;  // 1 .. n_experts
  RouterScore score = RouterScore::kSoftmax;
  bool renormalise = false;  // weights of the chosen are divided by their sum + epsilon
  float renormalise_epsilon = 0.0f;
  float scale = 1.0f;  // multiplies the weights
  // Experts fall into n_groups equal runs; only the n_kept_groups best ones are chosen from, a group being worth the
  // sum of the best two (group_by_sum_of_two) or the best one of its ranking scores. 1: all.
  int32_t n_groups = 1;
  int32_t n_kept_groups = 1;
  bool group_by_sum_of_two = true;

  bool operator==(const RouterConfig&) const = default;
};

// Where each row of a batch goes: [n_rows, n_chosen], heaviest first, ties to the lower id. In the backend's memory.
struct Routes {
  int32_t* experts = nullptr;  // null: every row to experts 0 .. n_chosen - 1, in this order
  float* weights = nullptr;
  int64_t n_rows = 0;
  int32_t n_chosen = 0;
};

struct RouterStats {
  StatSlot experts;  // [n_chosen] int32
  StatSlot weights;  // [n_chosen]
  StatSlot margin;   // ranking score (logit, probability or score, with bias, in kept groups) of the last chosen minus
                     // that of the best not chosen; NaN where all are chosen
  StatSlot entropy;  // nats of the softmax over all logits; of s / sum s for sigmoid scores
};

// logits [n_rows, n_experts]; bias [n_experts], added to scores for ranking alone, or empty. Chosen are the greatest
// ranking scores, ties to the lower id.
void route(Matrix<const float> logits, std::span<const float> bias, const RouterConfig& config, const Routes& routes,
           const RouterStats& stats, ThreadPool& pool);

// out[r] = sum_j weights[r, j] * x[r * n_chosen + j], in order of j.
void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out, ThreadPool& pool);

}  // namespace orrery
