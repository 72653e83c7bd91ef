// A backend that says it is a CUDA device and computes on the CPU, for what is decided above the backend: which one is
// chosen, and what happens where a model does not fit.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "app/backend_choice.h"

namespace orrery::testing {

inline constexpr const char* kTestDevice = "Test device, sm_00, CUDA 13.0";

class TestDevice final : public Backend {
 public:
  explicit TestDevice(size_t free_bytes) : free_bytes_(free_bytes) {}

  std::string name() const override { return "cuda"; }
  std::string instruction_set() const override { return "sm_00"; }
  std::string description() const override { return kTestDevice; }
  int n_threads() const override { return 1; }
  std::optional<size_t> free_bytes() const override { return free_bytes_; }

  Result<std::unique_ptr<Allocation>> allocate(size_t n_bytes) override { return cpu_->allocate(n_bytes); }
  Result<std::unique_ptr<Readback>> allocate_readback(size_t n_bytes) override {
    return cpu_->allocate_readback(n_bytes);
  }
  Result<PlacedWeight> place(const TensorView& weight, const PlaceProgress& progress) override {
    return cpu_->place(weight, progress);
  }
  Result<void> finish(std::span<const Fetch> wanted) override { return cpu_->finish(wanted); }
  void copy(std::byte* to, const std::byte* from, size_t n_bytes) override { cpu_->copy(to, from, n_bytes); }
  void embed(const TensorView& table, std::span<const int32_t> ids, float scale, Matrix<float> out) override {
    cpu_->embed(table, ids, scale, out);
  }
  void rms_norm(Matrix<const float> x, const TensorView& weight, float epsilon, Matrix<float> out) override {
    cpu_->rms_norm(x, weight, epsilon, out);
  }
  void layer_norm(Matrix<const float> x, const TensorView& weight, const TensorView& bias, float epsilon,
                  Matrix<float> out) override {
    cpu_->layer_norm(x, weight, bias, epsilon, out);
  }
  void matmul(Matrix<const float> x, std::span<const Product> products) override { cpu_->matmul(x, products); }
  void rope(Matrix<float> x, std::span<const int64_t> positions, int64_t length, const RopeConfig& rope,
            int32_t d_head) override {
    cpu_->rope(x, positions, length, rope, d_head);
  }
  void store_kv(Matrix<const float> x, std::span<const int64_t> positions, std::span<std::byte* const> pages,
                DType dtype, int32_t n_kv_heads, int32_t d_head) override {
    cpu_->store_kv(x, positions, pages, dtype, n_kv_heads, d_head);
  }
  void attention(const AttentionArgs& args, const AttentionStats& stats) override { cpu_->attention(args, stats); }
  void activate(Activation activation, Matrix<const float> x, Matrix<float> out) override {
    cpu_->activate(activation, x, out);
  }
  void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                         Matrix<float> out) override {
    cpu_->activate_multiply(activation, gate, up, out);
  }
  void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up,
                        Matrix<float> out) override {
    cpu_->clipped_multiply(clipped, gate, up, out);
  }
  void clip(Matrix<float> x, float limit) override { cpu_->clip(x, limit); }
  void soft_cap(Matrix<float> x, float cap) override { cpu_->soft_cap(x, cap); }
  void add(Matrix<float> x, Matrix<const float> delta, float factor) override { cpu_->add(x, delta, factor); }
  void scale(Matrix<float> x, float factor) override { cpu_->scale(x, factor); }
  void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x) override {
    cpu_->gate_groups(activation, gates, x);
  }
  void softplus(Matrix<const float> x, const TensorView& bias, SoftplusRange range, Matrix<float> out) override {
    cpu_->softplus(x, bias, range, out);
  }
  void input_strength(Matrix<const float> rate, const TensorView& log_decay, std::span<const int64_t> positions,
                      Matrix<float> out) override {
    cpu_->input_strength(rate, log_decay, positions, out);
  }
  void causal_conv(const CausalConvArgs& args, StatSlot tap_means) override { cpu_->causal_conv(args, tap_means); }
  void token_shift(const TokenShiftArgs& args) override { cpu_->token_shift(args); }
  void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats) override {
    cpu_->matrix_state(args, stats);
  }
  void matrix_state_rows(const StateRowArgs& args, StatSlot rows) override { cpu_->matrix_state_rows(args, rows); }
  void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats) override {
    cpu_->fast_weights(args, stats);
  }
  void route(Matrix<const float> logits, const TensorView& bias, const RouterConfig& config, const Routes& routes,
             const RouterStats& stats) override {
    cpu_->route(logits, bias, config, routes, stats);
  }
  void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products) override {
    cpu_->expert_matmul(x, routes, products);
  }
  void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out) override {
    cpu_->sum_experts(x, routes, out);
  }
  void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation,
                        Matrix<float> out) override {
    cpu_->truncated_normal(seed, positions, deviation, out);
  }
  void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) override {
    cpu_->group_dots(a, b, out);
  }
  void mean_magnitudes(Matrix<const float> x, StatSlot out) override { cpu_->mean_magnitudes(x, out); }
  void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine) override {
    cpu_->row_change(args, step, cosine);
  }
  void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out) override {
    cpu_->row_divergence(p, q, out);
  }
  void group_norms(Matrix<const float> x, int64_t group, StatSlot out) override { cpu_->group_norms(x, group, out); }
  void output_stats(Matrix<const float> logits, const OutputStats& stats) override {
    cpu_->output_stats(logits, stats);
  }

 private:
  std::shared_ptr<Backend> cpu_ = make_cpu_backend(1);
  size_t free_bytes_;
};

// A machine with such a device.
inline BackendMakers with_device(size_t free_bytes) {
  BackendMakers makers;
  makers.find_cuda = [] { return Result<void>(); };
  makers.cuda = [free_bytes]() -> Result<std::shared_ptr<Backend>> {
    return {std::make_shared<TestDevice>(free_bytes)};
  };
  return makers;
}

// A machine on which CUDA fails so.
inline BackendMakers without_device(const Error& why) {
  BackendMakers makers;
  makers.find_cuda = [why]() -> Result<void> { return why; };
  makers.cuda = [why]() -> Result<std::shared_ptr<Backend>> { return why; };
  return makers;
}

}  // namespace orrery::testing
