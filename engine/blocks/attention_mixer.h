// Attention: grouped-query softmax attention with a paged cache, rotary positions, optional biases and window.
#pragma once

#include <vector>

#include "engine/block.h"

namespace orrery {

struct AttentionWeights {
  TensorView q, k,
      v;  // [n_heads * d_head_k, d_model], [n_kv_heads * d_head_k, d_model], [n_kv_heads * d_head_v, d_model]
  TensorView output;                  // [d_model, n_heads * d_head_v]
  TensorView q_bias, k_bias, v_bias;  // as many as rows, or empty
  TensorView output_bias;             // [d_model] or empty
};

class Attention final : public Mixer {
 public:
  Attention(AttentionConfig config, AttentionWeights weights)
      : config_(std::move(config)), weights_(std::move(weights)) {}

  MixerKind kind() const override { return MixerKind::kAttention; }
  std::vector<StateSpec> describe_state(DType kv_dtype) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  void store(const Step& step, Matrix<const float> k, Matrix<const float> v) const;
  void attend(const Step& step, Matrix<const float> q, Matrix<float> heads) const;

  AttentionConfig config_;
  AttentionWeights weights_;
};

}  // namespace orrery
