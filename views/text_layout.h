// Where tokens stand when text is wrapped. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "probes/run_info.h"
#include "views/text_metrics.h"
#include "views/token_text.h"

namespace orrery {

struct PlacedPiece {
  TokenPiece piece;  // `first` is a step
  float x = 0;       // from the left of the text
  float width = 0;   // shared evenly by the piece's tokens
};

struct TextLine {
  std::vector<PlacedPiece> pieces;  // at least one, in order
  int64_t begin() const { return pieces.front().piece.first; }
  int64_t end() const { return pieces.back().piece.first + pieces.back().piece.count; }
};

// Breaks lines after line ends and before words that do not fit; a word longer than a line breaks between its tokens,
// and a longer token is cut with "…". Every token of [begin, end) stands in exactly one line.
std::vector<TextLine> layout_text(std::span<const Token> tokens, int64_t begin, int64_t end, const TextMetrics& metrics,
                                  float width);

// The steps to lay out around `anchor` so that the cost has a bound while lines break in the same places from frame to
// frame: all of a text of up to 4096 tokens.
std::pair<int64_t, int64_t> layout_window(std::span<const Token> tokens, int64_t anchor);

}  // namespace orrery
