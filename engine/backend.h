// Backend: where the arithmetic happens. It allocates, copies and launches; everything above it only says what.
// Matrices are float32, row major, in the backend's memory; rows are tokens of a batch. Operations are queued in order
// and are trusted to have valid shapes (checked once, at load). A statistic is written where its StatSlot says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/config.h"
#include "kernels/attention.h"
#include "kernels/base/result.h"
#include "kernels/base/tensor.h"
#include "kernels/elementwise.h"
#include "kernels/output_stats.h"

namespace orrery {

// Memory of a backend; freed with the object.
class Allocation {
 public:
  virtual ~Allocation() = default;
  virtual std::byte* data() = 0;
  virtual size_t n_bytes() const = 0;
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
  virtual int n_threads() const = 0;

  // kOutOfMemory says how many bytes were wanted. Zeroed, aligned to 64 bytes.
  virtual Result<std::unique_ptr<Allocation>> allocate(size_t n_bytes) = 0;
  // A view of the weight in this backend's memory; the CPU computes on the mapped file itself.
  virtual Result<TensorView> place(const TensorView& weight) = 0;

  // out[r] = scale * table[ids[r]]
  virtual void embed(const TensorView& table, std::span<const int32_t> ids, float scale, Matrix<float> out) = 0;
  virtual void rms_norm(Matrix<const float> x, const TensorView& weight, float epsilon, Matrix<float> out) = 0;
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
  // x = cap * tanh(x / cap)
  virtual void soft_cap(Matrix<float> x, float cap) = 0;
  // x += delta
  virtual void add(Matrix<float> x, Matrix<const float> delta) = 0;
  // L2 norm of each group of `group` consecutive columns: [n_cols / group] per row.
  virtual void group_norms(Matrix<const float> x, int64_t group, StatSlot out) = 0;
  virtual void output_stats(Matrix<const float> logits, const OutputStats& stats) = 0;
};

// The CPU backend with n threads; 0: as many as there are usable cores.
std::shared_ptr<Backend> make_cpu_backend(int n_threads);

}  // namespace orrery
