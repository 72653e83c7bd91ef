// The CPU backend: host memory, Highway kernels, a thread pool.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "engine/backend.h"
#include "kernels/attention.h"
#include "kernels/causal_conv.h"
#include "kernels/cpu_info.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/expert_matmul.h"
#include "kernels/fast_weights.h"
#include "kernels/input_strength.h"
#include "kernels/kv_store.h"
#include "kernels/layer_norm.h"
#include "kernels/matmul.h"
#include "kernels/matrix_state.h"
#include "kernels/moe.h"
#include "kernels/output_stats.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/row_norm.h"
#include "kernels/thread_pool.h"
#include "kernels/token_shift.h"
#include "kernels/truncated_normal.h"

namespace orrery {

namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector

class HostAllocation final : public Allocation {
 public:
  HostAllocation(std::byte* data, size_t n_bytes) : data_(data), n_bytes_(n_bytes) {}
  ~HostAllocation() override { std::free(data_); }
  HostAllocation(const HostAllocation&) = delete;
  HostAllocation& operator=(const HostAllocation&) = delete;
  std::byte* data() override { return data_; }
  size_t n_bytes() const override { return n_bytes_; }

 private:
  std::byte* data_;
  size_t n_bytes_;
};

// Host memory is read where it was written.
class HostReadback final : public Readback {
 public:
  explicit HostReadback(std::unique_ptr<Allocation> memory) : memory_(std::move(memory)) {}
  std::byte* written() override { return memory_->data(); }
  std::byte* read() override { return memory_->data(); }
  size_t n_bytes() const override { return memory_->n_bytes(); }

 private:
  std::unique_ptr<Allocation> memory_;
};

// Reads one byte of every page of a mapped weight.
Result<void> touch(const TensorView& weight, const PlaceProgress& progress) {
  constexpr size_t kPageBytes = 4096;
  constexpr size_t kReportBytes = size_t{8} << 20;
  [[maybe_unused]] volatile std::byte sink{};
  const size_t n_bytes = weight.n_bytes();
  for (size_t begin = 0; begin < n_bytes; begin += kReportBytes) {
    const size_t end = std::min(n_bytes, begin + kReportBytes);
    for (size_t at = begin; at < end; at += kPageBytes) sink = weight.data[at];
    ORRERY_RETURN_IF_ERROR(progress(end - begin));
  }
  return {};
}

std::span<const float> vector_of(const TensorView& tensor) {
  if (tensor.empty()) return {};
  return {tensor.f32(), static_cast<size_t>(tensor.shape.n_elements())};
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int n_threads) : pool_(n_threads) {}

  std::string name() const override { return "cpu"; }
  std::string instruction_set() const override { return std::string(orrery::instruction_set()); }
  std::string description() const override {
    return "CPU, " + instruction_set() + ", " + std::to_string(n_threads()) +
           (n_threads() == 1 ? " thread" : " threads");
  }
  int n_threads() const override { return pool_.n_threads(); }

  Result<std::unique_ptr<Allocation>> allocate(size_t n_bytes) override {
    const size_t rounded = (std::max<size_t>(n_bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
    auto* data = rounded < n_bytes ? nullptr : static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
    if (data == nullptr) {
      return Error{ErrorCode::kOutOfMemory, "out of memory: could not allocate " + std::to_string(n_bytes) + " bytes"};
    }
    std::memset(data, 0, rounded);
    return std::unique_ptr<Allocation>(std::make_unique<HostAllocation>(data, n_bytes));
  }

  Result<std::unique_ptr<Readback>> allocate_readback(size_t n_bytes) override {
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Allocation> memory, allocate(n_bytes));
    return std::unique_ptr<Readback>(std::make_unique<HostReadback>(std::move(memory)));
  }

  Result<PlacedWeight> place(const TensorView& weight, const PlaceProgress& progress) override {
    if (progress) ORRERY_RETURN_IF_ERROR(touch(weight, progress));
    return PlacedWeight{.view = weight, .memory = nullptr};
  }

  Result<void> finish(std::span<const Fetch>) override { return {}; }
  void copy(std::byte* to, const std::byte* from, size_t n_bytes) override { std::memcpy(to, from, n_bytes); }

  void embed(const TensorView& table, std::span<const int32_t> ids, float factor, Matrix<float> out) override {
    for (size_t r = 0; r < ids.size(); ++r) dequantize_row(table, ids[r], out.row_span(static_cast<int64_t>(r)));
    if (factor != 1.0f) scale(out, factor);
  }

  void rms_norm(Matrix<const float> x, const TensorView& weight, float epsilon, Matrix<float> out) override {
    orrery::rms_norm(x, vector_of(weight), epsilon, out, pool_);
  }

  void layer_norm(Matrix<const float> x, const TensorView& weight, const TensorView& bias, float epsilon,
                  Matrix<float> out) override {
    orrery::layer_norm(x, vector_of(weight), vector_of(bias), epsilon, out, pool_);
  }

  void matmul(Matrix<const float> x, std::span<const Product> products) override {
    targets_.clear();
    for (const Product& product : products) {
      targets_.push_back({.weight = product.weight, .bias = vector_of(product.bias), .out = product.out});
    }
    orrery::matmul(x, targets_, scratch_, pool_);
  }

  void rope(Matrix<float> x, std::span<const int64_t> positions, int64_t length, const RopeConfig& rope,
            int32_t d_head) override {
    orrery::rope(x, turns_of(positions, length, rope), d_head, rope.pairing, pool_);
  }

  void store_kv(Matrix<const float> x, std::span<const int64_t> positions, std::span<std::byte* const> pages,
                DType dtype, int32_t n_kv_heads, int32_t d_head) override {
    slots_.clear();
    for (size_t r = 0; r < positions.size(); ++r) {
      slots_.push_back({.page = pages[r], .token = static_cast<int32_t>(positions[r] % kKvPageTokens)});
    }
    kv_store(x, slots_, dtype, n_kv_heads, d_head, pool_);
  }

  void attention(const AttentionArgs& args, const AttentionStats& stats) override {
    orrery::attention(args, stats, pool_);
  }
  void activate(Activation activation, Matrix<const float> x, Matrix<float> out) override {
    orrery::activate(activation, x, out, pool_);
  }
  void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                         Matrix<float> out) override {
    orrery::activate_multiply(activation, gate, up, out, pool_);
  }
  void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up,
                        Matrix<float> out) override {
    orrery::clipped_multiply(clipped, gate, up, out, pool_);
  }
  void clip(Matrix<float> x, float limit) override { orrery::clip(x, limit, x, pool_); }
  void soft_cap(Matrix<float> x, float cap) override { orrery::soft_cap(x, cap, x, pool_); }
  void add(Matrix<float> x, Matrix<const float> delta, float factor) override {
    orrery::add(x, delta, factor, x, pool_);
  }
  void scale(Matrix<float> x, float factor) override { orrery::scale(x, factor, x, pool_); }
  void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x) override {
    orrery::gate_groups(activation, gates, x, pool_);
  }
  void softplus(Matrix<const float> x, const TensorView& bias, SoftplusRange range, Matrix<float> out) override {
    orrery::softplus(x, vector_of(bias), range, out, pool_);
  }
  void input_strength(Matrix<const float> rate, const TensorView& log_decay, std::span<const int64_t> positions,
                      Matrix<float> out) override {
    orrery::input_strength(rate, vector_of(log_decay), positions, out, pool_);
  }
  void token_shift(const TokenShiftArgs& args) override { orrery::token_shift(args, pool_); }
  void causal_conv(const CausalConvArgs& args, StatSlot tap_means) override {
    orrery::causal_conv(args, tap_means, pool_);
  }
  void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats) override {
    orrery::matrix_state(args, stats, pool_);
  }
  void matrix_state_rows(const StateRowArgs& args, StatSlot rows) override {
    orrery::matrix_state_rows(args, rows, pool_);
  }
  void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats) override {
    orrery::fast_weights(args, stats, pool_);
  }
  void route(Matrix<const float> logits, const TensorView& bias, const RouterConfig& config, const Routes& routes,
             const RouterStats& stats) override {
    orrery::route(logits, vector_of(bias), config, routes, stats, pool_);
  }
  void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products) override {
    orrery::expert_matmul(x, routes, products, expert_scratch_, pool_);
  }
  void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out) override {
    orrery::sum_experts(x, routes, out, pool_);
  }
  void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation,
                        Matrix<float> out) override {
    orrery::truncated_normal(seed, positions, deviation, out, pool_);
  }
  void group_norms(Matrix<const float> x, int64_t group, StatSlot out) override {
    orrery::group_norms(x, group, out, pool_);
  }
  void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) override {
    orrery::group_dots(a, b, out, pool_);
  }
  void mean_magnitudes(Matrix<const float> x, StatSlot out) override { orrery::mean_magnitudes(x, out, pool_); }
  void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine) override {
    orrery::row_change(args, step, cosine, pool_);
  }
  void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out) override {
    orrery::row_divergence(p, q, out, pool_);
  }
  void output_stats(Matrix<const float> logits, const OutputStats& stats) override {
    orrery::output_stats(logits, stats, pool_);
  }

 private:
  // The turns of some positions.
  struct Turns {
    std::vector<int64_t> positions;
    int64_t length = 0;
    RopeConfig rope;
    RopeTable table;
  };

  const RopeTable& turns_of(std::span<const int64_t> positions, int64_t length, const RopeConfig& rope) {
    for (const Turns& turns : turns_) {
      if (turns.length == length && std::ranges::equal(positions, turns.positions) && turns.rope == rope) {
        return turns.table;
      }
    }
    Turns& turns = turns_[oldest_turns_];
    oldest_turns_ = (oldest_turns_ + 1) % turns_.size();
    turns.positions.assign(positions.begin(), positions.end());
    turns.length = length;
    turns.rope = rope;
    turns.table.set(positions, rope.frequencies_at(length), rope.magnitude);
    return turns.table;
  }

  ThreadPool pool_;
  MatmulScratch scratch_;
  ExpertMatmulScratch expert_scratch_;
  std::vector<MatmulTarget> targets_;  // reused
  std::vector<KvSlot> slots_;          // reused
  std::array<Turns, 2> turns_;         // the latest ones: layers share them, or alternate between two kinds
  size_t oldest_turns_ = 0;
};

}  // namespace

std::shared_ptr<Backend> make_cpu_backend(int n_threads) {
  return std::make_shared<CpuBackend>(n_threads > 0 ? n_threads : usable_cores());
}

}  // namespace orrery
