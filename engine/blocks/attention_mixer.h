// Attention: grouped-query softmax attention with a paged cache and rotary positions; by its configuration with a
// window, a cap on scores, queries and keys that are normed head by head or as a whole (Henry et al. 2020; by RMS,
// without bias), sinks (gpt-oss), a mask, a sigmoid in place of the softmax, and gates on what the heads bring (Qiu et
// al. 2025).
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"
#include "engine/blocks/attention_rows.h"
#include "engine/blocks/key_mask.h"
#include "engine/blocks/low_rank.h"

namespace orrery {

struct AttentionWeights {
  TensorView q, k,
      v;  // [n_heads * d_head_k, d_model], [n_kv_heads * d_head_k, d_model], [n_kv_heads * d_head_v, d_model]
  TensorView output;                  // [d_model, n_heads * d_head_v]
  TensorView q_bias, k_bias, v_bias;  // as many as rows, or empty
  TensorView output_bias;             // [d_model] or empty
  // Where the configuration has qk_norm: [d_head_k], or [n_heads * d_head_k] and [n_kv_heads * d_head_k] to norm all
  // heads as one.
  TensorView q_norm, k_norm;
  TensorView gate, gate_bias;               // [n_heads * d_head_v or n_heads, d_model]; empty without a gate
  TensorView sinks;                         // [n_heads] or empty
  LowRank q_adapter, k_adapter, v_adapter;  // added to the three projections, or empty
};

class Attention final : public Mixer {
 public:
  // norm_epsilon: of the norm of queries and keys. mask: null where all keys of the window are seen.
  Attention(AttentionConfig config, const AttentionWeights& weights, float norm_epsilon,
            std::shared_ptr<const KeyMask> mask = nullptr)
      : config_(std::move(config)), weights_(weights), norm_epsilon_(norm_epsilon), mask_(std::move(mask)) {}

  std::vector<StateSpec> describe_state(DType kv_dtype) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;
  void remember(const Step& step, Matrix<const float> x) const override;

 private:
  // Norms, clips and turns keys, clips values, and puts both into the cache; both in place.
  void prepare_and_store(const Step& step, const StepPages& pages, Matrix<const float> x, Matrix<float> k,
                         Matrix<float> v) const;
  // Norms, clips and turns queries or keys, x [n_rows, n_heads * d_head_k], in place.
  void prepare(const Step& step, const TensorView& norm, Matrix<float> x) const;
  void attend(const Step& step, const StepPages& pages, Matrix<const float> q, Matrix<float> heads) const;

  AttentionConfig config_;
  AttentionWeights weights_;
  float norm_epsilon_;
  std::shared_ptr<const KeyMask> mask_;
};

}  // namespace orrery
