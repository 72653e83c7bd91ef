// TextCodec: one kind of tokenizer, whole: text to ids and ids to bytes. There are two: GgufCodec follows llama.cpp
// (special tokens cut the text, an algorithm named by tokenizer.ggml.model encodes what lies between), HfCodec follows
// the pipeline that a tokenizer.json describes. Tokenizer adds what both share: limits, BOS and EOS, streaming.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

// Immutable; safe from any thread. Time is near linear in the text's length.
class TextCodec {
 public:
  virtual ~TextCodec() = default;

  // Appends the ids of `text` (any bytes; at most 256 MiB; BOS and EOS are the caller's). Control tokens spelled in the
  // text become their ids where parse_special; those that the vocabulary always parses do either way.
  virtual Result<void> encode(std::string_view text, bool parse_special, std::vector<int32_t>& ids) const = 0;

  // The bytes that a token stands for in the middle of a text. `id` is inside the vocabulary.
  virtual std::string token_bytes(int32_t id) const = 0;

  // The bytes of a whole text's ids, all inside the vocabulary: as token_bytes joined, but for what the kind does at
  // the edges (a leading space that encoding put in is taken out).
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
};

}  // namespace orrery
