// ConditionedBlock: a transformer block of a loop that is told where in the loop it is. With gates g and scales s that
// follow from the time i / n and the step 1 / n: x += g_a * mixer(norm(x) * (1 + s_a)), x += g_m * ffn(norm(x) *
// (1 + s_m)), the norm being without weights. Source: Jeddi et al. 2026 (LoopFormer), section 3; its adaLN.
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

// What a block is told in each iteration; rows [n_iterations, 4 * d_model] in the backend's memory: g_a, g_m, 1 + s_a,
// 1 + s_m. They depend on no token, so they are computed once, when the model is loaded.
struct StepModulation {
  Matrix<const float> rows;

  int64_t d_model() const { return rows.n_cols / 4; }
  // The same gate for each of n_rows rows.
  Matrix<const float> mixer_gate(int32_t iteration, int64_t n_rows) const { return gate(iteration, 0, n_rows); }
  Matrix<const float> ffn_gate(int32_t iteration, int64_t n_rows) const { return gate(iteration, 1, n_rows); }
  // As the weight of a norm.
  TensorView mixer_scale(int32_t iteration) const { return scale(iteration, 2); }
  TensorView ffn_scale(int32_t iteration) const { return scale(iteration, 3); }

 private:
  Matrix<const float> gate(int32_t iteration, int64_t part, int64_t n_rows) const {
    return {rows.row(iteration) + part * d_model(), n_rows, d_model(), 0};
  }
  TensorView scale(int32_t iteration, int64_t part) const {
    return {.dtype = DType::kF32,
            .shape = {d_model()},
            .data = reinterpret_cast<const std::byte*>(rows.row(iteration) + part * d_model())};
  }
};

class ConditionedBlock final : public Block {
 public:
  ConditionedBlock(const StepModulation& modulation, float norm_epsilon, std::unique_ptr<Mixer> mixer,
                   std::unique_ptr<FeedForward> feed_forward)
      : modulation_(modulation),
        norm_epsilon_(norm_epsilon),
        mixer_(std::move(mixer)),
        feed_forward_(std::move(feed_forward)) {}
  void forward(const Step& step, Matrix<float> x) const override;
  void remember(const Step& step, Matrix<const float> x) const override;
  std::vector<StateSpec> describe_state(DType kv_dtype) const override { return mixer_->describe_state(kv_dtype); }

 private:
  StepModulation modulation_;
  float norm_epsilon_;
  std::unique_ptr<Mixer> mixer_;
  std::unique_ptr<FeedForward> feed_forward_;
};

}  // namespace orrery
