// HfMetaspace: the settings that the pre-tokenizer and the decoder "Metaspace" share: spaces are spelled by a mark, and
// words begin with it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/tokenizers/hf_json.h"
#include "engine/tokenizers/hf_piece.h"
#include "kernels/base/result.h"

namespace orrery {

struct HfMetaspace {
  // Where a mark is put before text that has none: nowhere, where the whole text begins, before every stretch of it.
  enum class Prepend : uint8_t { kNever, kFirst, kAlways };

  std::string mark = "▁";  // one character
  Prepend prepend = Prepend::kAlways;
  bool split = true;

  static Result<HfMetaspace> read(const HfObject& object);

  char32_t mark_character() const;
  void replace_spaces(HfPiece& piece) const;
};

}  // namespace orrery
