// StatSlot: where an operation writes one statistic of its rows; unwanted statistics are null slots and cost nothing.
#pragma once

#include <cstdint>

namespace orrery {

// Row r of the batch starts at data + r * row_stride (floats). Unwanted where data is null.
struct StatSlot {
  float* data = nullptr;
  int64_t row_stride = 0;
  float* row(int64_t r) const { return data + r * row_stride; }
  explicit operator bool() const { return data != nullptr; }
};

}  // namespace orrery
