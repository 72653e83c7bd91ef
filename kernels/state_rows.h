// StateRows: which rows of a batch continue a sequence, and where it keeps what it remembers.
#pragma once

#include <cstdint>

namespace orrery {

// Rows [begin, end) of a batch are consecutive tokens of one sequence; `state` is what it remembers of the tokens
// before them, in the backend's memory, and is brought up to date. All zero before the first token.
struct StateRows {
  int64_t begin = 0;
  int64_t end = 0;
  float* state = nullptr;
};

}  // namespace orrery
