// Backend: where the arithmetic happens. It allocates, copies and launches; everything above it only says what.
// Matrices are float32, row major, in the backend's memory; rows are tokens of a batch. Operations are queued in order
// and are trusted to have valid shapes (checked once, at load). Spans of weights and pointers to states and routes are
// in the backend's memory; rows, positions, ids and key ranges in the host's. A statistic is written where its StatSlot
// says. What the host wants to see lies in a Readback and is there after finish(), where errors of the operations
// surface too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/config.h"
#include "kernels/attention.h"
#include "kernels/base/result.h"
#include "kernels/base/tensor.h"
#include "kernels/causal_conv.h"
#include "kernels/elementwise.h"
#include "kernels/expert_matmul.h"
#include "kernels/fast_weights.h"
#include "kernels/matrix_state.h"
#include "kernels/moe.h"
#include "kernels/output_stats.h"
#include "kernels/row_change.h"
#include "kernels/token_shift.h"

namespace orrery {

// Memory of a backend; freed with the object.
class Allocation {
 public:
  virtual ~Allocation() = default;
  virtual std::byte* data() = 0;
  virtual size_t n_bytes() const = 0;
};

// Memory that operations write and the host reads: on the CPU the same bytes, on a device two copies.
class Readback {
 public:
  virtual ~Readback() = default;
  virtual std::byte* written() = 0;  // for operations, in the backend's memory
  virtual std::byte* read() = 0;     // for the host, valid after the finish() that names it
  virtual size_t n_bytes() const = 0;
};

// What finish() is to bring: the first n_bytes.
struct Fetch {
  Readback* from = nullptr;
  size_t n_bytes = 0;
};

// A weight where the backend computes. `memory` is null where it stays where it was.
struct PlacedWeight {
  TensorView view;
  std::unique_ptr<Allocation> memory;
};
// Told how many further bytes of a weight are in place; an error (kCancelled) ends the placing. May be empty.
using PlaceProgress = std::function<Result<void>(size_t n_bytes)>;

class Backend;

// Where a model's weights go.
struct Placement {
  Backend& backend;
  PlaceProgress progress;
};

// One product of a group that shares its input: out = x weight^T + bias.
struct Product {
  TensorView weight;  // [n_out, n_in], any dtype that is computed on
  TensorView bias;    // [n_out] f32, or empty
  Matrix<float> out;  // [n_rows, n_out]
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;             // "cpu", "cuda", "cuda-emulated"
  virtual std::string instruction_set() const = 0;  // what the kernels dispatched to; recorded in sessions
  virtual std::string description() const = 0;      // for people: "CPU, AVX3_DL, 2 threads"
  virtual int n_threads() const = 0;
  // Bytes that can still be allocated; none where the host's memory is used.
  virtual std::optional<size_t> free_bytes() const { return std::nullopt; }

  // kOutOfMemory says how many bytes were wanted. Zeroed, aligned to 64 bytes.
  virtual Result<std::unique_ptr<Allocation>> allocate(size_t n_bytes) = 0;
  virtual Result<std::unique_ptr<Readback>> allocate_readback(size_t n_bytes) = 0;
  // Puts a stored weight into this backend's memory; the CPU computes on the mapped file itself, and with `progress`
  // reads it once, so that the first token does not wait for the disk.
  virtual Result<PlacedWeight> place(const TensorView& weight, const PlaceProgress& progress) = 0;
  // Waits for all operations and brings what is wanted. The first error of any of them.
  virtual Result<void> finish(std::span<const Fetch> wanted) = 0;
  // Copies within the backend's memory.
  virtual void copy(std::byte* to, const std::byte* from, size_t n_bytes) = 0;

  // out[r] = scale * table[ids[r]]
  virtual void embed(const TensorView& table, std::span<const int32_t> ids, float scale, Matrix<float> out) = 0;
  // weight [n_cols], empty, or [n, n_cols] of which row r takes the (r mod n)-th.
  virtual void rms_norm(Matrix<const float> x, const TensorView& weight, float epsilon, Matrix<float> out) = 0;
  // weight and bias as the weight of rms_norm.
  virtual void layer_norm(Matrix<const float> x, const TensorView& weight, const TensorView& bias, float epsilon,
                          Matrix<float> out) = 0;
  virtual void matmul(Matrix<const float> x, std::span<const Product> products) = 0;
  // Rotates x [n_rows, n_heads * d_head] in place, with the frequencies of a sequence of `length` tokens.
  virtual void rope(Matrix<float> x, std::span<const int64_t> positions, int64_t length, const RopeConfig& rope,
                    int32_t d_head) = 0;
  // Writes row r of x [n_rows, n_kv_heads * d_head] into slot positions[r] % 64 of pages[r].
  virtual void store_kv(Matrix<const float> x, std::span<const int64_t> positions, std::span<std::byte* const> pages,
                        DType dtype, int32_t n_kv_heads, int32_t d_head) = 0;
  virtual void attention(const AttentionArgs& args, const AttentionStats& stats) = 0;
  // out = activation(x); out may be x.
  virtual void activate(Activation activation, Matrix<const float> x, Matrix<float> out) = 0;
  // out = activation(gate) * up; out may be one of them.
  virtual void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                                 Matrix<float> out) = 0;
  // out = g sigmoid(slope g) (u + 1), gate and up clipped; out may be one of them.
  virtual void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up,
                                Matrix<float> out) = 0;
  // x within [-limit, limit]
  virtual void clip(Matrix<float> x, float limit) = 0;
  // x = cap * tanh(x / cap)
  virtual void soft_cap(Matrix<float> x, float cap) = 0;
  // x += factor * delta
  virtual void add(Matrix<float> x, Matrix<const float> delta, float factor) = 0;
  // x *= factor
  virtual void scale(Matrix<float> x, float factor) = 0;
  // x[r, g * n + i] *= activation(gates[r, g]), n = x.n_cols / gates.n_cols
  virtual void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x) = 0;
  // out = clamp(ln(1 + exp(x + bias))); bias [n_cols] f32 or empty; out may be x.
  virtual void softplus(Matrix<const float> x, const TensorView& bias, SoftplusRange range, Matrix<float> out) = 0;
  // out = sqrt(1 - a^2) of decays a = exp(rate * log_decay), 1 in rows at position 0; log_decay [n_cols] f32; out may
  // be rate.
  virtual void input_strength(Matrix<const float> rate, const TensorView& log_decay, std::span<const int64_t> positions,
                              Matrix<float> out) = 0;
  virtual void causal_conv(const CausalConvArgs& args, StatSlot tap_means) = 0;
  virtual void token_shift(const TokenShiftArgs& args) = 0;
  virtual void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats) = 0;
  virtual void matrix_state_rows(const StateRowArgs& args, StatSlot rows) = 0;
  virtual void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats) = 0;
  // bias [n_experts] f32 or empty.
  virtual void route(Matrix<const float> logits, const TensorView& bias, const RouterConfig& config,
                     const Routes& routes, const RouterStats& stats) = 0;
  // Many rows are grouped by expert; with few, only the chosen experts' weights are read.
  virtual void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products) = 0;
  virtual void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out) = 0;
  // out[r, c] = deviation * a number that is drawn from a normal distribution cut at 3, as (seed, positions[r], c) say.
  virtual void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation,
                                Matrix<float> out) = 0;
  // L2 norm of each group of `group` consecutive columns: [n_cols / group] per row.
  virtual void group_norms(Matrix<const float> x, int64_t group, StatSlot out) = 0;
  // out[r, g] = inner product of the g-th group of a's and b's columns, n = a.n_cols / out.n_cols each.
  virtual void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) = 0;
  // Mean magnitude of each row.
  virtual void mean_magnitudes(Matrix<const float> x, StatSlot out) = 0;
  virtual void output_stats(Matrix<const float> logits, const OutputStats& stats) = 0;
  virtual void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine) = 0;
  virtual void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out) = 0;
};

// The CPU backend with n threads; 0: as many as there are usable cores.
std::shared_ptr<Backend> make_cpu_backend(int n_threads);
// The CUDA backend on the first device. kUnsupported says in one line why there is none.
Result<std::shared_ptr<Backend>> make_cuda_backend();
// Whether make_cuda_backend() is going to find a device, without taking any of its memory.
Result<void> find_cuda_backend();
// The CUDA backend with its kernels emulated on the CPU: for tests and tiny models; thousands of times slower.
Result<std::shared_ptr<Backend>> make_cuda_emulated_backend();

}  // namespace orrery
