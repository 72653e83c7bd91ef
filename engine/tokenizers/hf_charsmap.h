// HfCharsmap: SentencePiece's precompiled normalizer, as the Hugging Face tokenizers apply it.
//
// Layout, in base64: u32 bytes of the trie; the DoubleArray; the replacements, each ended by a NUL. A value is the
// place of a replacement.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/tokenizers/double_array.h"
#include "kernels/base/result.h"

namespace orrery {

// Immutable; safe from any thread.
class HfCharsmap {
 public:
  // kInvalidFile for damaged base64 or a map that is cut off: "has a precompiled_charsmap that is not base64".
  static Result<HfCharsmap> from_base64(std::string_view text);

  // The replacement of the shortest prefix of `text` that has one.
  std::optional<std::string_view> find(std::string_view text) const;

  // `text` (valid UTF-8) with its characters replaced: a whole grapheme cluster of at most 5 bytes by what its prefix
  // has, else character by character, as the reference does. Stops once the result is longer than max_bytes.
  Result<std::string> apply(std::string_view text, size_t max_bytes) const;

 private:
  DoubleArray trie_;
  std::string replacements_;  // valid UTF-8 but for where a damaged map points
};

}  // namespace orrery
