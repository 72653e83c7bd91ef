#include "engine/models/tensor_placer.h"

#include "kernels/embedding.h"
#include "kernels/matmul.h"

namespace orrery {

Result<TensorView> TensorPlacer::take(TensorName name, int32_t layer, Result<TensorView> found) {
  taken_.insert(file_.spelled(name, layer));
  return found;
}

Result<void> TensorPlacer::check_all_taken() const {
  const std::string layers = file_.spelled(TensorName{"blk.", "model.layers."});
  for (const StoredTensor& tensor : file_.tensors().tensors()) {
    if (!tensor.name.starts_with(layers) || taken_.contains(tensor.name)) continue;
    if (tensor.name.find("rotary_emb") != std::string::npos || tensor.name.find("rot_embd") != std::string::npos)
      continue;
    return Error{ErrorCode::kUnsupported,
                 file_.path() + ": a model of architecture " + file_.architecture() +
                     " cannot be run with this tensor, which it does not know: " + tensor.name.substr(0, 80)};
  }
  return {};
}

TensorView TensorPlacer::placed(Result<TensorView> found) {
  if (!found && !error_) error_ = found.error();
  if (error_ || found->empty()) return {};
  Result<PlacedWeight> placed = placement_.backend.place(*found, placement_.progress);
  if (!placed) {
    error_ = placed.error();
    return {};
  }
  if (placed->memory != nullptr) memory_.push_back(std::move(placed->memory));
  return placed->view;
}

TensorView TensorPlacer::widened(Result<TensorView> found, float plus) {
  if (found && !found->empty() && !is_float(found->dtype)) {
    found = Error{ErrorCode::kUnsupported, file_.path() + ": a vector of " + std::to_string(found->n_cols()) +
                                               " numbers must be stored as F32, F16 or BF16, but is " +
                                               std::string(dtype_name(found->dtype))};
  }
  if (found && !found->empty() && (found->dtype != DType::kF32 || plus != 0.0f)) {
    const auto n = static_cast<size_t>(found->n_cols());
    widened_.push_back(std::make_unique<float[]>(n));
    float* values = widened_.back().get();
    dequantize_row(*found, 0, {values, n});
    for (size_t i = 0; i < n; ++i) values[i] += plus;
    found = TensorView{.dtype = DType::kF32, .shape = found->shape, .data = reinterpret_cast<const std::byte*>(values)};
  }
  return placed(std::move(found));
}

TensorView TensorPlacer::matrix(TensorName name, int32_t layer, int64_t n_rows, int64_t n_cols) {
  Result<TensorView> found = take(name, layer, file_.tensor(name, layer, {n_rows, n_cols}));
  if (found && !matmul_supports(found->dtype)) {
    found = Error{ErrorCode::kUnsupported,
                  file_.path() + ": the matrix " + file_.spelled(name, layer) +
                      " is stored in a type that cannot be multiplied with: " + std::string(dtype_name(found->dtype))};
  }
  return placed(std::move(found));
}

TensorView TensorPlacer::vector(TensorName name, int32_t layer, int64_t n, float plus) {
  return widened(take(name, layer, file_.tensor(name, layer, {n})), plus);
}

TensorView TensorPlacer::optional_vector(TensorName name, int32_t layer, int64_t n) {
  return widened(take(name, layer, file_.optional_tensor(name, layer, {n})));
}

}  // namespace orrery
