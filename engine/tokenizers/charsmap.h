// Charsmap: SentencePiece's precompiled normalizer: texts and what replaces them, in an XOR-compressed double array
// (Kanda 2018).
//
// Layout, little endian: u32 size of the array in bytes; the array, u32 each; replacements, each ended by a zero byte.
// An entry: bits 0-7 the byte that leads here (with bit 31 for an entry that holds a value), bit 8 whether a value
// hangs here, bits 10-30 an offset, shifted left by 8 more where bit 9 is set.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  std::vector<uint32_t> entries_;
  std::string replacements_;
};

}  // namespace orrery
