// Many rows at their experts: choices are sorted by expert on the device and multiplied in tiles, so that an expert's
// weights are read once for up to 64 of its rows. Internal to expert_matmul.
#pragma once

#include <span>
#include <vector>

#include "kernels/cuda/command_stream.h"
#include "kernels/expert_matmul.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void multiply_by_tiles(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                       CommandStream& stream);

// Where the experts' weights or biases lie, for the device; null for none.
template <typename T>
const T* const* upload_pointers(std::span<const TensorView> tensors, CommandStream& stream) {
  if (tensors.empty()) return nullptr;
  std::vector<const T*> pointers;
  for (const TensorView& tensor : tensors) pointers.push_back(reinterpret_cast<const T*>(tensor.data));
  return stream.upload(std::span<const T* const>(pointers));
}

// The one of a product's weights that says how all of them can be read.
const TensorView& least_wide(const ExpertProduct& product);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
