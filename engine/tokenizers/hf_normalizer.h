// HfNormalizer: the "normalizer" of a tokenizer.json: what rewrites text before it is cut into words.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "engine/tokenizers/hf_json.h"
#include "engine/tokenizers/hf_piece.h"
#include "engine/tokenizers/hf_regex.h"
#include "kernels/base/result.h"

namespace orrery {

// Immutable; safe from any thread.
class HfNormalizer {
 public:
  // The longest text that a normalizer may make of one of n bytes; Unicode's own forms grow it elevenfold at most.
  static constexpr size_t longest(size_t n_bytes) { return 64 * n_bytes + (size_t{1} << 20); }

  // kUnsupported for a kind that is not there, by its name; kInvalidFile for fields that are missing or wrong.
  static Result<std::unique_ptr<const HfNormalizer>> make(const HfObject& object);

  virtual ~HfNormalizer() = default;

  // Rewrites the piece. kUnsupported where a pattern takes too long or the text would grow beyond longest().
  virtual Result<void> normalize(HfPiece& piece, HfSearchBudget& budget) const = 0;
};

}  // namespace orrery
