// HfPiece: a stretch of text on its way through the steps of a tokenizer.json.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace orrery {

// Valid UTF-8, and how many of its leading bytes stand for the whole text's first character: steps may rewrite the
// text, and Metaspace's scheme "first" asks whether a piece still begins where the text did.
struct HfPiece {
  std::string text;
  size_t n_origin_bytes = 0;

  bool is_at_start() const { return n_origin_bytes > 0; }

  // The bytes [begin, end) of it.
  HfPiece part(size_t begin, size_t end) const {
    const bool starts = begin < n_origin_bytes;
    return {text.substr(begin, end - begin), starts ? (end < n_origin_bytes ? end : n_origin_bytes) - begin : 0};
  }
  void prepend(std::string_view front) {
    text.insert(0, front);
    if (n_origin_bytes > 0) n_origin_bytes += front.size();
  }
};

}  // namespace orrery
