// What output_stats keeps of a segment of a row until the row's segments are combined. Internal to output_stats.
#pragma once

#include <cstdint>

#include "kernels/output_stats.h"
#include "kernels/top_entry.h"

namespace orrery {

struct OutputSegment {
  float greatest = 0.0f;              // logit; exponentials are relative to it
  int32_t n_top = 0;                  // 0 only where the segment holds no number
  double sum = 0.0;                   // of the exponentials that are not in top
  double weighted = 0.0;              // the same, each times its exponent
  TopEntry top[kOutputTopMax];        // logit, id; in no order
  float exponentials[kOutputTopMax];  // of top
};

}  // namespace orrery
