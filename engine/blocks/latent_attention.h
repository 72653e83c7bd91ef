// LatentAttention: multi-head latent attention. A token leaves behind a latent c = norm(its part of A x), d_latent
// numbers, and a rotary key r = rope(the rest of A x), d_shared_rope numbers, both shared by all heads: that is all
// that is cached. Head h has keys [K_h c; r] and values V_h c, its query [n_h; rope(p_h)] comes from x or from a latent
// of its own. Source: DeepSeek-AI 2024 (DeepSeek-V2), section 2.1; reference class DeepseekV3Attention.
//
// Keys and values are never made: n . (K c) = (K^T n) . c and sum_s w_s (V c_s) = V (sum_s w_s c_s), so queries go into
// the latent space, attention runs over one key/value head whose values are the first numbers of its keys, and what it
// brings comes back through V ("absorbed", appendix C there).
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"
#include "engine/blocks/attention_rows.h"

namespace orrery {

struct LatentAttentionWeights {
  TensorView query_down, query_down_bias;  // [d_query_latent, d_model]; as many as rows, or empty
  TensorView query_norm;                   // [d_query_latent]; empty, as those before it: queries come from x
  TensorView query;                        // [n_heads * d_head_k, d_query_latent or d_model]; of each head n, then p
  TensorView down, down_bias;              // A [d_latent + d_shared_rope, d_model]; as many as rows, or empty
  TensorView norm;                         // [d_latent]
  std::vector<TensorView> key_up;          // per head K^T [d_latent, d_head_k - d_shared_rope]
  std::vector<TensorView> value_up;        // per head V [d_head_v, d_latent]
  TensorView output, output_bias;          // [d_model, n_heads * d_head_v]; [d_model] or empty
};

class LatentAttention final : public Mixer {
 public:
  // norm_epsilon: of both latents' norms. mask: null where all keys of the window are seen.
  LatentAttention(AttentionConfig config, LatentAttentionWeights weights, float norm_epsilon,
                  std::shared_ptr<const KeyMask> mask = nullptr)
      : config_(std::move(config)), weights_(std::move(weights)), norm_epsilon_(norm_epsilon), mask_(std::move(mask)) {}

  std::vector<StateSpec> describe_state(DType kv_dtype) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;
  void remember(const Step& step, Matrix<const float> x) const override;

 private:
  int64_t d_cached() const { return int64_t{config_.d_latent} + config_.d_shared_rope; }
  // [n_rows, d_latent + d_shared_rope] what the rows leave behind.
  Matrix<const float> latents(const Step& step, Matrix<const float> x) const;
  // [n_rows, n_heads * (d_latent + d_shared_rope)] queries in the space of what is cached.
  Matrix<const float> queries(const Step& step, Matrix<const float> x) const;
  void attend(const Step& step, const StepPages& pages, Matrix<const float> queries, Matrix<float> recalled) const;

  AttentionConfig config_;
  LatentAttentionWeights weights_;
  float norm_epsilon_;
  std::shared_ptr<const KeyMask> mask_;
};

}  // namespace orrery
