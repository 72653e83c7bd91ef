// TensorPlacer: takes the weights of a model out of its file, by shape, and puts them where the backend computes.
// Keeps the first error, so that an architecture reads as a list of its tensors; ask status() before using them.
#pragma once

#include <memory>
#include <optional>
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

  // kUnsupported naming a tensor of a layer that was not taken: without it this would be another model. Tables of
  // rotations, which some files carry though they follow from the settings, are left aside.
  Result<void> check_all_taken() const;
  Result<void> status() const { return error_ ? Result<void>(*error_) : Result<void>(); }
  // What the views point to and the file does not hold must live as long as they do: memory of the backend, and
  // vectors that the host widened.
  std::vector<std::unique_ptr<Allocation>> take_memory() { return std::move(memory_); }
  std::vector<std::unique_ptr<float[]>> take_widened() { return std::move(widened_); }

 private:
  Result<TensorView> take(TensorName name, int32_t layer, Result<TensorView> found);
  TensorView placed(Result<TensorView> found);
  TensorView widened(Result<TensorView> found, float plus = 0.0f);

  const ModelFile& file_;
  const Placement& placement_;
  std::optional<Error> error_;
  std::unordered_set<std::string> taken_;
  std::vector<std::unique_ptr<Allocation>> memory_;
  std::vector<std::unique_ptr<float[]>> widened_;
};

}  // namespace orrery
