// Charsmap: SentencePiece's precompiled normalizer, as llama.cpp applies it: texts and what replaces them.
//
// Layout, little endian: u32 size of the array in bytes; the DoubleArray; replacements, each ended by a zero byte. A
// value is the place of a replacement.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/tokenizers/double_array.h"
#include "kernels/base/result.h"

namespace orrery {

// Immutable; safe from any thread. Empty: replaces nothing.
class Charsmap {
 public:
  Charsmap() = default;
  // kInvalidFile where the sizes cannot be. What the entries say is checked when they are followed.
  static Result<Charsmap> make(std::string_view bytes);

  struct Match {
    size_t length;                 // bytes of the text
    std::string_view replacement;  // lives as long as the map
  };
  // The longest text of the map that begins at `offset`.
  std::optional<Match> find(std::string_view text, size_t offset) const;

 private:
  DoubleArray trie_;
  std::string replacements_;
};

}  // namespace orrery
