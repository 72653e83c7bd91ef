// FragmentEncoder: the algorithm that a GGUF file names in tokenizer.ggml.model, applied to the text between special
// tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

// Immutable; safe from any thread.
class FragmentEncoder {
 public:
  virtual ~FragmentEncoder() = default;

  // Appends the ids of `fragment` (any bytes, at least one). `begins`: nothing or a special token is before it.
  virtual Result<void> encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const = 0;
};

}  // namespace orrery
