// HfSplitter: what becomes of the matches of a pattern and of what lies between them.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/tokenizers/hf_json.h"
#include "engine/tokenizers/hf_piece.h"
#include "engine/tokenizers/hf_pre_tokenizer.h"
#include "engine/tokenizers/hf_regex.h"
#include "kernels/base/result.h"

namespace orrery {

// As the Hugging Face tokenizers spell them.
enum class HfSplitBehavior : uint8_t { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// From the field "behavior".
Result<HfSplitBehavior> hf_split_behavior(const HfObject& object, std::optional<HfSplitBehavior> fallback = {});

// Told of the stretches of a piece in order, makes pieces of them. For one piece.
class HfSplitter {
 public:
  // `piece` and `sink` must outlive it.
  HfSplitter(const HfPiece& piece, HfSplitBehavior behavior, const HfPieceSink& sink)
      : piece_(piece), behavior_(behavior), sink_(sink) {}

  void add(const HfMatch& stretch);
  // After the last stretch. The first error of the sink; nothing is given to it after one.
  Result<void> finish();

 private:
  bool joins(const HfMatch& stretch) const;
  void emit(const HfMatch& stretch);

  const HfPiece& piece_;
  const HfSplitBehavior behavior_;
  const HfPieceSink& sink_;
  std::optional<HfMatch> pending_;  // may still grow
  bool was_match_ = false;          // the stretch before was one
  Result<void> result_;
};

}  // namespace orrery
