#include "engine/models/tensor_placer.h"

#include "kernels/embedding.h"
#include "kernels/matmul.h"

namespace orrery {

TensorView TensorPlacer::placed(Result<TensorView> found) {
  if (found && !found->empty()) found = backend_.place(*found);
  if (found) return *found;
  if (!error_) error_ = found.error();
  return {};
}

TensorView TensorPlacer::widened(Result<TensorView> found, float plus) {
  if (found && !found->empty() && (found->dtype != DType::kF32 || plus != 0.0f)) {
    const auto n = static_cast<size_t>(found->n_cols());
    owned_.push_back(std::make_unique<float[]>(n));
    float* values = owned_.back().get();
    dequantize_row(*found, 0, {values, n});
    for (size_t i = 0; i < n; ++i) values[i] += plus;
    found = TensorView{.dtype = DType::kF32, .shape = found->shape, .data = reinterpret_cast<const std::byte*>(values)};
  }
  return placed(std::move(found));
}

TensorView TensorPlacer::matrix(TensorName name, int32_t layer, int64_t n_rows, int64_t n_cols) {
  Result<TensorView> found = file_.tensor(name, layer, {n_rows, n_cols});
  if (found && !matmul_supports(found->dtype)) {
    found = Error{ErrorCode::kUnsupported,
                  file_.path() + ": the matrix " + file_.spelled(name, layer) +
                      " is stored in a type that cannot be multiplied with: " + std::string(dtype_name(found->dtype))};
  }
  return placed(std::move(found));
}

TensorView TensorPlacer::vector(TensorName name, int32_t layer, int64_t n, float plus) {
  return widened(file_.tensor(name, layer, {n}), plus);
}

TensorView TensorPlacer::optional_vector(TensorName name, int32_t layer, int64_t n) {
  return widened(file_.optional_tensor(name, layer, {n}));
}

}  // namespace orrery
