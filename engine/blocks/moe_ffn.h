// MoeFfn: a mixture of experts. A router scores the experts for each token; the chosen ones' feed-forwards (as
// DenseFfn) are weighted and summed; a shared expert that every token takes may be added, by itself gated or not.
// Sources: Shazeer et al. 2017; Jiang et al. 2024 (Mixtral); DeepSeek-AI 2024 (DeepSeek-V3).
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

struct MoeWeights {
  TensorView router, router_bias;  // [n_experts, d_model]; [n_experts] added to logits, or empty
  TensorView selection_bias;       // [n_experts] f32, added to scores for ranking alone, or empty
  // Per expert: gate, up [d_expert, d_in], down [d_in, d_expert]; gate empty: not gated. Biases none, or of all
  // experts. d_in is d_model, or the latent width.
  std::vector<TensorView> gate, up, down;
  std::vector<TensorView> gate_bias, up_bias, down_bias;
  TensorView to_latent, from_latent;  // [d_latent, d_model], [d_model, d_latent] around the routed experts, or empty
  TensorView to_latent_bias, from_latent_bias;  // [d_latent], [d_model] or empty
  TensorView shared_gate;                       // [1, d_model]: the shared expert is times sigmoid of it; or empty
};

class MoeFfn final : public FeedForward {
 public:
  // shared may be null.
  MoeFfn(MoeConfig config, Activation activation, MoeWeights weights, std::unique_ptr<FeedForward> shared)
      : config_(config), activation_(activation), weights_(std::move(weights)), shared_(std::move(shared)) {}

  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  Routes choose(const Step& step, Matrix<const float> x) const;
  // out [n_rows, d_in]: the chosen experts' weighted sum.
  void run_experts(const Step& step, const Routes& routes, Matrix<const float> x, Matrix<float> out) const;
  void add_shared(const Step& step, Matrix<const float> x, Matrix<float> out) const;

  MoeConfig config_;
  Activation activation_;
  MoeWeights weights_;
  std::unique_ptr<FeedForward> shared_;
};

}  // namespace orrery
