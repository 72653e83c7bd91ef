// The CUDA backend, on a device or emulated: included once by cuda_backend.cpp and once by cuda_emulated_backend.cpp,
// each with its own kernels (kernels/cuda/launch.h).
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/backend.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/causal_conv.h"
#include "kernels/cuda/command_stream.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/embedding.h"
#include "kernels/cuda/expert_matmul.h"
#include "kernels/cuda/fast_weights.h"
#include "kernels/cuda/input_strength.h"
#include "kernels/cuda/kv_store.h"
#include "kernels/cuda/layer_norm.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/matrix_state.h"
#include "kernels/cuda/moe.h"
#include "kernels/cuda/output_stats.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/row_change.h"
#include "kernels/cuda/row_norm.h"
#include "kernels/cuda/token_shift.h"
#include "kernels/cuda/truncated_normal.h"
#include "kernels/rope.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

// Memory of a device, and who holds the device open.
class DeviceAllocation final : public Allocation {
 public:
  DeviceAllocation(std::shared_ptr<Device> device, std::byte* data, size_t n_bytes)
      : device_(std::move(device)), data_(data), n_bytes_(n_bytes) {}
  ~DeviceAllocation() override { device_->free(data_); }
  DeviceAllocation(const DeviceAllocation&) = delete;
  DeviceAllocation& operator=(const DeviceAllocation&) = delete;
  std::byte* data() override { return data_; }
  size_t n_bytes() const override { return n_bytes_; }

 private:
  std::shared_ptr<Device> device_;
  std::byte* data_;
  size_t n_bytes_;
};

class PinnedMemory {
 public:
  PinnedMemory(std::shared_ptr<Device> device, std::byte* data) : device_(std::move(device)), data_(data) {}
  ~PinnedMemory() { device_->free_pinned(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::shared_ptr<Device> device_;
  std::byte* data_;
};

class DeviceReadback final : public Readback {
 public:
  DeviceReadback(std::unique_ptr<Allocation> device, std::unique_ptr<PinnedMemory> host)
      : device_(std::move(device)), host_(std::move(host)) {}
  std::byte* written() override { return device_->data(); }
  std::byte* read() override { return host_->data(); }
  size_t n_bytes() const override { return device_->n_bytes(); }

 private:
  std::unique_ptr<Allocation> device_;
  std::unique_ptr<PinnedMemory> host_;
};

// Carries weights to the device in pieces: while one is on its way, the next is read from the disk into pinned memory.
class Uploader {
 public:
  explicit Uploader(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  Result<void> upload(std::byte* to, std::span<const std::byte> from, const PlaceProgress& progress) {
    for (size_t at = 0; at < from.size(); at += kPieceBytes) {
      Piece& piece = pieces_[next_];
      next_ = (next_ + 1) % pieces_.size();
      ORRERY_RETURN_IF_ERROR(ready(piece));
      const size_t n = std::min(kPieceBytes, from.size() - at);
      std::memcpy(piece.memory->data(), from.data() + at, n);
      device_->copy_in(to + at, piece.memory->data(), n);
      piece.sent = device_->mark();
      if (progress) ORRERY_RETURN_IF_ERROR(progress(n));
    }
    return {};
  }

 private:
  static constexpr size_t kPieceBytes = size_t{8} << 20;
  struct Piece {
    std::unique_ptr<PinnedMemory> memory;
    std::unique_ptr<Device::Mark> sent;
  };

  Result<void> ready(Piece& piece) {
    if (piece.sent != nullptr) piece.sent->wait();
    if (piece.memory != nullptr) return {};
    ORRERY_ASSIGN_OR_RETURN(std::byte * memory, device_->allocate_pinned(kPieceBytes));
    piece.memory = std::make_unique<PinnedMemory>(device_, memory);
    return {};
  }

  std::shared_ptr<Device> device_;
  std::array<Piece, 2> pieces_;
  size_t next_ = 0;
};

inline const float* vector_of(const TensorView& tensor) { return tensor.empty() ? nullptr : tensor.f32(); }

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(std::shared_ptr<Device> device)
      : device_(std::move(device)), stream_(*device_), uploader_(device_) {}

  std::string name() const override { return device_->backend_name(); }
  std::string instruction_set() const override { return device_->instruction_set(); }
  std::string description() const override { return device_->description(); }
  int n_threads() const override { return 1; }
  std::optional<size_t> free_bytes() const override { return device_->free_bytes(); }

  Result<std::unique_ptr<Allocation>> allocate(size_t n_bytes) override {
    ORRERY_ASSIGN_OR_RETURN(std::byte * memory, device_->allocate(n_bytes));
    device_->zero(memory, n_bytes);
    return std::unique_ptr<Allocation>(std::make_unique<DeviceAllocation>(device_, memory, n_bytes));
  }

  Result<std::unique_ptr<Readback>> allocate_readback(size_t n_bytes) override {
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Allocation> memory, allocate(n_bytes));
    ORRERY_ASSIGN_OR_RETURN(std::byte * pinned, device_->allocate_pinned(n_bytes));
    return std::unique_ptr<Readback>(
        std::make_unique<DeviceReadback>(std::move(memory), std::make_unique<PinnedMemory>(device_, pinned)));
  }

  Result<PlacedWeight> place(const TensorView& weight, const PlaceProgress& progress) override {
    const size_t n_bytes = weight.n_bytes();
    ORRERY_ASSIGN_OR_RETURN(std::byte * memory, device_->allocate(n_bytes));
    PlacedWeight placed{.view = weight, .memory = std::make_unique<DeviceAllocation>(device_, memory, n_bytes)};
    placed.view.data = memory;
    ORRERY_RETURN_IF_ERROR(uploader_.upload(memory, {weight.data, n_bytes}, progress));
    return placed;
  }

  Result<void> finish(std::span<const Fetch> wanted) override {
    turns_ = {};  // their tables lie in inputs that the next pass overwrites
    std::vector<CommandStream::Copy> copies;
    for (const Fetch& one : wanted) {
      if (one.from == nullptr || one.n_bytes == 0) continue;
      copies.push_back({.to = one.from->read(), .from = one.from->written(), .n_bytes = one.n_bytes});
    }
    return stream_.finish(copies);
  }

  void copy(std::byte* to, const std::byte* from, size_t n_bytes) override {
    stream_.push_copy({.to = to, .from = from, .n_bytes = n_bytes});
  }
  void embed(const TensorView& table, std::span<const int32_t> ids, float scale, Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::embed(table, ids, scale, out, stream_);
  }
  void rms_norm(Matrix<const float> x, const TensorView& weight, float epsilon, Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::rms_norm(x, vector_of(weight), weight.n_rows(), epsilon, out, stream_);
  }
  void layer_norm(Matrix<const float> x, const TensorView& weight, const TensorView& bias, float epsilon,
                  Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::layer_norm(x, {vector_of(weight), weight.n_rows()}, {vector_of(bias), bias.n_rows()},
                                      epsilon, out, stream_);
  }
  void matmul(Matrix<const float> x, std::span<const Product> products) override {
    targets_.clear();
    for (const Product& product : products) {
      targets_.push_back({.weight = product.weight, .bias = {}, .out = product.out});
      if (!product.bias.empty()) {
        targets_.back().bias = {product.bias.f32(), static_cast<size_t>(product.out.n_cols)};
      }
    }
    ORRERY_CUDA_NAMESPACE::matmul(x, targets_, stream_);
  }
  void rope(Matrix<float> x, std::span<const int64_t> positions, int64_t length, const RopeConfig& rope,
            int32_t d_head) override {
    const Turns& turns = turns_of(positions, length, rope);
    ORRERY_CUDA_NAMESPACE::rope(x, turns.table, turns.n_pairs, d_head, rope.pairing, stream_);
  }
  void store_kv(Matrix<const float> x, std::span<const int64_t> positions, std::span<std::byte* const> pages,
                DType dtype, int32_t n_kv_heads, int32_t d_head) override {
    kv_store(x, positions, pages, dtype, n_kv_heads, d_head, stream_);
  }
  void attention(const AttentionArgs& args, const AttentionStats& stats) override {
    ORRERY_CUDA_NAMESPACE::attention(args, stats, stream_);
  }
  void activate(Activation activation, Matrix<const float> x, Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::activate(activation, x, out, stream_);
  }
  void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                         Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::activate_multiply(activation, gate, up, out, stream_);
  }
  void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up,
                        Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::clipped_multiply(clipped, gate, up, out, stream_);
  }
  void clip(Matrix<float> x, float limit) override { ORRERY_CUDA_NAMESPACE::clip(x, limit, x, stream_); }
  void soft_cap(Matrix<float> x, float cap) override { ORRERY_CUDA_NAMESPACE::soft_cap(x, cap, x, stream_); }
  void add(Matrix<float> x, Matrix<const float> delta, float factor) override {
    ORRERY_CUDA_NAMESPACE::add(x, delta, factor, x, stream_);
  }
  void scale(Matrix<float> x, float factor) override { ORRERY_CUDA_NAMESPACE::scale(x, factor, x, stream_); }
  void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x) override {
    ORRERY_CUDA_NAMESPACE::gate_groups(activation, gates, x, stream_);
  }
  void softplus(Matrix<const float> x, const TensorView& bias, SoftplusRange range, Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::softplus(x, vector_of(bias), range, out, stream_);
  }
  void input_strength(Matrix<const float> rate, const TensorView& log_decay, std::span<const int64_t> positions,
                      Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::input_strength(rate, vector_of(log_decay), positions, out, stream_);
  }
  void token_shift(const TokenShiftArgs& args) override { ORRERY_CUDA_NAMESPACE::token_shift(args, stream_); }
  void causal_conv(const CausalConvArgs& args, StatSlot tap_means) override {
    ORRERY_CUDA_NAMESPACE::causal_conv(args, tap_means, stream_);
  }
  void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats) override {
    ORRERY_CUDA_NAMESPACE::matrix_state(args, stats, stream_);
  }
  void matrix_state_rows(const StateRowArgs& args, StatSlot rows) override {
    ORRERY_CUDA_NAMESPACE::matrix_state_rows(args, rows, stream_);
  }
  void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats) override {
    ORRERY_CUDA_NAMESPACE::fast_weights(args, stats, stream_);
  }
  void route(Matrix<const float> logits, const TensorView& bias, const RouterConfig& config, const Routes& routes,
             const RouterStats& stats) override {
    ORRERY_CUDA_NAMESPACE::route(logits, vector_of(bias), config, routes, stats, stream_);
  }
  void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products) override {
    ORRERY_CUDA_NAMESPACE::expert_matmul(x, routes, products, stream_);
  }
  void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::sum_experts(x, routes, out, stream_);
  }
  void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation,
                        Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::truncated_normal(seed, positions, deviation, out, stream_);
  }
  void group_norms(Matrix<const float> x, int64_t group, StatSlot out) override {
    ORRERY_CUDA_NAMESPACE::group_norms(x, group, out, stream_);
  }
  void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) override {
    ORRERY_CUDA_NAMESPACE::group_dots(a, b, out, stream_);
  }
  void mean_magnitudes(Matrix<const float> x, StatSlot out) override {
    ORRERY_CUDA_NAMESPACE::mean_magnitudes(x, out, stream_);
  }
  void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine) override {
    ORRERY_CUDA_NAMESPACE::row_change(args, step, cosine, stream_);
  }
  void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out) override {
    ORRERY_CUDA_NAMESPACE::row_divergence(p, q, out, stream_);
  }
  void output_stats(Matrix<const float> logits, const OutputStats& stats) override {
    ORRERY_CUDA_NAMESPACE::output_stats(logits, stats, stream_);
  }

 private:
  // The turns of a batch's rows, uploaded once and used by every layer with the same rotation. They come from the same
  // table as the CPU's, so that both turn by the same numbers.
  struct Turns {
    int64_t length = -1;
    std::vector<int64_t> positions;
    RopeConfig rope;
    const float* table = nullptr;  // [n_rows, 2, n_pairs] cosines, sines
    int64_t n_pairs = 0;
  };

  const Turns& turns_of(std::span<const int64_t> positions, int64_t length, const RopeConfig& rope) {
    for (const Turns& turns : turns_) {
      if (turns.length == length && turns.rope == rope && std::ranges::equal(positions, turns.positions)) return turns;
    }
    RopeTable table;
    table.set(positions, rope.frequencies_at(length), rope.magnitude);
    Turns& turns = turns_.emplace_back();
    turns.length = length;
    turns.positions.assign(positions.begin(), positions.end());
    turns.rope = rope;
    turns.n_pairs = table.n_pairs();
    turns.table = stream_.upload(
        std::span<const float>(table.cosines(0), static_cast<size_t>(2 * table.n_rows() * table.n_pairs())));
    return turns;
  }

  std::shared_ptr<Device> device_;
  CommandStream stream_;
  Uploader uploader_;
  std::vector<Turns> turns_;  // of the pass that is being queued
  std::vector<MatmulTarget> targets_;
};

}  // namespace

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
