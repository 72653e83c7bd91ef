// Views of tensors that live elsewhere. Everywhere in Orrery the outermost dimension is written first and
// rows are contiguous (GGUF lists shapes the other way round; its reader turns them).
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/base/check.h"
#include "kernels/base/dtype.h"

namespace orrery {

// Up to four dimensions, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    CHECK(dims.size() <= kMaxRank);
    for (int64_t dim : dims) dims_[static_cast<size_t>(rank_++)] = dim;
  }
  explicit Shape(std::span<const int64_t> dims) {
    CHECK(dims.size() <= kMaxRank);
    for (int64_t dim : dims) dims_[static_cast<size_t>(rank_++)] = dim;
  }
  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t n_elements() const {
    int64_t n = 1;
    for (int axis = 0; axis < rank_; ++axis) n *= dims_[static_cast<size_t>(axis)];
    return n;
  }
  bool operator==(const Shape& other) const = default;
  std::string to_string() const;  // "[576, 1536]"

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// A stored tensor of any dtype (weights): contiguous, read only. `data` is host memory for the CPU backend.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;

  bool empty() const { return data == nullptr; }
  int64_t n_rows() const { return shape.rank() <= 1 ? 1 : shape.n_elements() / shape[shape.rank() - 1]; }
  int64_t n_cols() const { return shape.rank() == 0 ? 1 : shape[shape.rank() - 1]; }
  size_t n_bytes() const { return static_cast<size_t>(n_rows()) * row_bytes(dtype, static_cast<size_t>(n_cols())); }
  const std::byte* row(int64_t i) const {
    return data + static_cast<size_t>(i) * row_bytes(dtype, static_cast<size_t>(n_cols()));
  }
  // Some of its rows, as a matrix; empty where this is.
  TensorView rows(int64_t begin, int64_t count) const {
    if (empty()) return {};
    return {.dtype = dtype, .shape = {count, n_cols()}, .data = row(begin)};
  }
  const float* f32() const {
    DCHECK(dtype == DType::kF32);
    return reinterpret_cast<const float*>(data);
  }
};

// A row-major matrix of T whose rows may lie apart (activations, statistics).
template <typename T>
struct Matrix {
  T* data = nullptr;
  int64_t n_rows = 0;
  int64_t n_cols = 0;
  int64_t row_stride = 0;  // elements from one row to the next, >= n_cols; 0: all rows are one, to be read

  Matrix() = default;
  Matrix(T* d, int64_t rows, int64_t cols) : data(d), n_rows(rows), n_cols(cols), row_stride(cols) {}
  Matrix(T* d, int64_t rows, int64_t cols, int64_t stride) : data(d), n_rows(rows), n_cols(cols), row_stride(stride) {}
  template <typename Mutable>
  requires std::same_as<T, const Mutable> Matrix(
      const Matrix<Mutable>& other)  // NOLINT: what may be written may be read
      : Matrix(other.data, other.n_rows, other.n_cols, other.row_stride) {}

  T* row(int64_t i) const { return data + i * row_stride; }
  std::span<T> row_span(int64_t i) const { return {row(i), static_cast<size_t>(n_cols)}; }
  Matrix cols(int64_t begin, int64_t count) const { return {data + begin, n_rows, count, row_stride}; }
  Matrix rows(int64_t begin, int64_t count) const { return {data + begin * row_stride, count, n_cols, row_stride}; }
};

}  // namespace orrery
