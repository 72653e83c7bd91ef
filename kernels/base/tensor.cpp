#include "kernels/base/tensor.h"

namespace orrery {

std::string Shape::to_string() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(dims_[static_cast<size_t>(axis)]);
  }
  return text + "]";
}

}  // namespace orrery
