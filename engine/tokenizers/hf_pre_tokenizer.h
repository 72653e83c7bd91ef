// HfPreTokenizer: the "pre_tokenizer" of a tokenizer.json: what cuts text into the pieces within which the model works.
#pragma once

#include <functional>
#include <memory>

#include "engine/tokenizers/hf_json.h"
#include "engine/tokenizers/hf_piece.h"
#include "engine/tokenizers/hf_regex.h"
#include "kernels/base/result.h"

namespace orrery {

// Takes the pieces that a step makes; they are never empty.
using HfPieceSink = std::function<Result<void>(HfPiece)>;

// Immutable; safe from any thread.
class HfPreTokenizer {
 public:
  // kUnsupported for a kind that is not there, by its name; kInvalidFile for fields that are missing or wrong.
  static Result<std::unique_ptr<const HfPreTokenizer>> make(const HfObject& object);

  virtual ~HfPreTokenizer() = default;

  // Gives the pieces of `piece` (not empty) to `sink`, in order. Fails where `sink` does, or a pattern takes too long.
  virtual Result<void> split(HfPiece piece, HfSearchBudget& budget, const HfPieceSink& sink) const = 0;
};

}  // namespace orrery
