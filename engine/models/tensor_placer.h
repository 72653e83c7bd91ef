// TensorPlacer: takes the weights of a model out of its file, by shape, and puts them where the backend computes.
// Keeps the first error, so that an architecture reads as a list of its tensors; ask status() before using them.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/backend.h"
#include "engine/model_file.h"

namespace orrery {

class TensorPlacer {
 public:
  TensorPlacer(const ModelFile& file, Backend& backend) : file_(file), backend_(backend) {}

  // [n_rows, n_cols] as stored.
  TensorView matrix(TensorName name, int32_t layer, int64_t n_rows, int64_t n_cols);
  // [n] as f32, plus a number: norms and biases are widened where they are stored in half precision.
  TensorView vector(TensorName name, int32_t layer, int64_t n, float plus = 0.0f);
  TensorView optional_vector(TensorName name, int32_t layer, int64_t n);  // empty where it is missing

  Result<void> status() const { return error_ ? Result<void>(*error_) : Result<void>(); }
  // The vectors that are not as the file has them: they must live as long as the views.
  std::vector<std::unique_ptr<float[]>> take_owned() { return std::move(owned_); }

 private:
  TensorView placed(Result<TensorView> found);
  TensorView widened(Result<TensorView> found, float plus = 0.0f);

  const ModelFile& file_;
  Backend& backend_;
  std::optional<Error> error_;
  std::vector<std::unique_ptr<float[]>> owned_;
};

}  // namespace orrery
