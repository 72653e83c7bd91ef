// Model text made fit to be shown: any bytes become valid, harmless, one-line UTF-8.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/run_info.h"

namespace orrery {

// Line ends as "↵", tabs as "⇥", other control characters as their pictures, invalid bytes as U+FFFD; characters that
// reorder or hide text by their code ("⟦U+202E⟧").
std::string visible_text(std::string_view bytes);

// As visible_text, for a label that stands alone: spaces at the ends are shown as "␣", nothing as "∅", a text of other
// spaces alone by their codes ("⟦U+00A0⟧").
std::string token_label(std::string_view bytes);

// Tokens that are drawn together: one, or several that share a character between them.
struct TokenPiece {
  int64_t first = 0;  // index into the tokens given
  int64_t count = 1;
  std::string text;        // visible; line ends within are "↵"
  bool ends_line = false;  // the piece ends with a line end
};

// Every token is in exactly one piece, in order.
std::vector<TokenPiece> token_pieces(std::span<const Token> tokens);

}  // namespace orrery
