// HfCharsmap: SentencePiece's precompiled character map: a double-array trie from spellings to their replacements.
//
// Layout: u32 bytes of the trie; the trie's units, u32 each, little endian; the replacements, each ended by a NUL. A
// unit holds, from bit 0: the label of the edge that leads to it (8 bits), whether a value hangs below it (1 bit),
// whether its offset counts in steps of 256 (1 bit), the offset (22 bits); a value's unit has bit 31 set above 31 bits
// of value, the place of the replacement.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  std::vector<uint32_t> units_;
  std::string replacements_;  // valid UTF-8 but for where a damaged map points
};

}  // namespace orrery
