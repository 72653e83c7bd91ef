// HfDecoder: the "decoder" of a tokenizer.json: from the spellings of tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizers/hf_json.h"
#include "kernels/base/result.h"

namespace orrery {

// Immutable; safe from any thread.
class HfDecoder {
 public:
  // kUnsupported for a kind that is not there, by its name; kInvalidFile for fields that are missing or wrong.
  static Result<std::unique_ptr<const HfDecoder>> make(const HfObject& object);
  // What files without a decoder do: a space between tokens.
  static std::unique_ptr<const HfDecoder> spaces();

  virtual ~HfDecoder() = default;

  // Rewrites the spellings of a whole text; joined they are the text. As in the reference what is no UTF-8 becomes
  // U+FFFD. Never more spellings than before.
  virtual void decode(std::vector<std::string>& tokens) const = 0;

  // Rewrites the spelling of one token as it stands in the middle of a text; bytes stay bytes. `is_joined`: a step
  // before has made one of all tokens, so what a step does at the edges of a token is for the edges of the text alone.
  virtual void decode_inner(std::string& token, bool& is_joined) const = 0;
};

}  // namespace orrery
