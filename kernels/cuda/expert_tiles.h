// Many rows at their experts: choices are sorted by expert on the device and multiplied in tiles, so that an expert's
// weights are read once for up to 64 of its rows. Internal to expert_matmul.
#pragma once

#include <span>

#include "kernels/cuda/command_stream.h"
#include "kernels/cuda/language.h"
#include "kernels/expert_matmul.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void multiply_by_tiles(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                       CommandStream& stream);

// Where the experts' weights or biases lie.
struct ExpertPlaces {
  const void* first = nullptr;  // the first expert's; null for none
  int64_t step = 0;             // bytes from one expert to the next; less than 0: `first` is a table of their addresses

  template <typename T>
  __device__ const T* of(int32_t expert) const {
    if (step < 0) return static_cast<const T* const*>(first)[expert];
    return reinterpret_cast<const T*>(static_cast<const uint8_t*>(first) + expert * step);
  }
};
// A table is uploaded only where the experts do not lie evenly apart: with hundreds of them it is as large as all other
// inputs of a step.
ExpertPlaces places_of(std::span<const TensorView> tensors, CommandStream& stream);

// The one of a product's weights that says how all of them can be read.
const TensorView& least_wide(const ExpertProduct& product);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
