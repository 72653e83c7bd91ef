// TensorPlacer: takes the weights of a model out of its file, by shape, and puts them where the backend computes.
// Keeps the first error, so that an architecture reads as a list of its tensors; ask status() before using them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/backend.h"
#include "engine/model_file.h"

namespace orrery {

class TensorPlacer {
 public:
  // The placement must outlive this object.
  TensorPlacer(const ModelFile& file, const Placement& placement) : file_(file), placement_(placement) {}

  // [n_rows, n_cols] as stored.
  TensorView matrix(TensorName name, int32_t layer, int64_t n_rows, int64_t n_cols);
  // [n] as f32, plus a number: norms and biases are widened where they are stored in half precision.
  TensorView vector(TensorName name, int32_t layer, int64_t n, float plus = 0.0f);
  TensorView optional_vector(TensorName name, int32_t layer, int64_t n);  // empty where it is missing

  // For weights that are computed with in another form than they are stored in.
  // All numbers of a float tensor, whatever its shape; empty, and an error kept, where it has not n of them.
  std::vector<float> values(TensorName name, int32_t layer, int64_t n);
  std::vector<float> optional_values(TensorName name, int32_t layer, int64_t n);  // empty where it is missing
  // Puts numbers where the backend computes; an empty view where they are empty.
  TensorView made(std::vector<float> values, Shape shape);
  // The taps of a depthwise convolution, stored [n_channels, n_taps] or [n_channels, 1, n_taps], as [n_taps,
  // n_channels]; those of several, one after the other.
  TensorView taps(std::span<const TensorName> names, int32_t layer, std::span<const int64_t> n_channels,
                  int64_t n_taps);
  TensorView taps(TensorName name, int32_t layer, int64_t n_channels, int64_t n_taps) {
    return taps({&name, 1}, layer, {&n_channels, 1}, n_taps);
  }
  // Row i of the result is row order[i] of the stored [n_rows, n_cols]; types stay as they are.
  TensorView matrix_rows(TensorName name, int32_t layer, int64_t n_rows, int64_t n_cols,
                         std::span<const int64_t> order);
  // Of a stored [n * n_rows, n_cols]: from each of its n parts the rows [begin, begin + count), turned: [n_cols,
  // count]. Float types stay as they are, others become F32.
  std::vector<TensorView> turned_rows(TensorName name, int32_t layer, int64_t n, int64_t n_rows, int64_t n_cols,
                                      int64_t begin, int64_t count);
  // n matrices stored as one [n, n_rows, n_cols].
  std::vector<TensorView> stacked(TensorName name, int32_t layer, int64_t n, int64_t n_rows, int64_t n_cols);
  // n matrices stored one by one, in one type; "{expert}" in their names stands for 0 .. n - 1.
  std::vector<TensorView> numbered(TensorName name, int32_t layer, int64_t n, int64_t n_rows, int64_t n_cols);
  // Of n matrices stored as one [n, n_cols, n_rows * n_parts]: those whose row i is the stored column i * n_parts +
  // part.
  std::vector<TensorView> turned(TensorName name, int32_t layer, int64_t n, int64_t n_rows, int64_t n_cols,
                                 int64_t n_parts = 1, int64_t part = 0);
  // Of n matrices of 4-bit numbers, stored as bytes of two, [n, n_rows * n_parts, n_cols / 32, 16], with an exponent
  // for every 32, [n, n_rows * n_parts, n_cols / 32]: those of the rows i * n_parts + part, as MXFP4.
  std::vector<TensorView> packed(TensorName blocks, TensorName exponents, int32_t layer, int64_t n, int64_t n_rows,
                                 int64_t n_cols, int64_t n_parts = 1, int64_t part = 0);
  // The tensor belongs to the architecture and is left unused.
  void skip(TensorName name, int32_t layer) { taken_.insert(file_.spelled(name, layer)); }
  // The same for all tensors of layer `layer`; layers: what the layers' tensors' names begin with.
  void skip_layer(TensorName layers, int64_t layer);
  const ModelFile& file() const { return file_; }

  // kUnsupported naming a tensor of a layer that was not taken: without it this would be another model. Tables of
  // rotations, which some files carry though they follow from the settings, are left aside. layers: what the layers'
  // tensors' names begin with.
  Result<void> check_all_taken(TensorName layers) const;
  Result<void> status() const { return error_ ? Result<void>(*error_) : Result<void>(); }
  // What the views point to and the file does not hold must live as long as they do: memory of the backend, and what
  // the host widened or put in another order.
  std::vector<std::unique_ptr<Allocation>> take_memory() { return std::move(memory_); }
  std::vector<std::unique_ptr<std::byte[]>> take_remade() { return std::move(remade_); }

 private:
  Result<TensorView> take(TensorName name, int32_t layer, Result<TensorView> found);
  TensorView placed(Result<TensorView> found);
  TensorView widened(Result<TensorView> found, float plus = 0.0f);
  void keep(Error error) {
    if (!error_) error_ = std::move(error);
  }
  // Memory of the host that lives as long as the model; null, and an error kept, where there is none.
  std::byte* remake(size_t n_bytes);
  std::vector<float> numbers_of(const TensorView& tensor) const;
  Result<TensorView> checked_matrix(TensorName name, int32_t layer, Shape shape);
  // The bytes of a tensor of type U8 and this shape.
  Result<const std::byte*> bytes_of(TensorName name, int32_t layer, const Shape& shape);
  std::vector<TensorView> slices(const TensorView& all, int64_t n, int64_t n_rows) const;

  const ModelFile& file_;
  const Placement& placement_;
  std::optional<Error> error_;
  std::unordered_set<std::string> taken_;
  std::vector<std::unique_ptr<Allocation>> memory_;
  std::vector<std::unique_ptr<std::byte[]>> remade_;
};

}  // namespace orrery
