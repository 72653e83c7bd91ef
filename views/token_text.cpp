#include "views/token_text.h"

#include <algorithm>
#include <cstdio>

#include "views/utf8.h"

namespace orrery {
namespace {

constexpr size_t kLongestChar = 4;    // bytes
constexpr size_t kLongestPiece = 16;  // tokens

bool reorders_or_hides(char32_t code) {
  return code == 0x061C || code == 0x200B || code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF || (code >= 0xFFF9 && code <= 0xFFFB) ||
         (code >= 0xE0000 && code <= 0xE007F);
}

// Spaces of other widths and kinds: alone, they look like nothing.
bool is_other_space(char32_t code) {
  return code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

void append_code(std::string& out, char32_t code) {
  char name[20];
  std::snprintf(name, sizeof name, "⟦U+%04X⟧", static_cast<unsigned>(code));
  out += name;
}

void append_visible(std::string& out, char32_t code) {
  if (code == '\n' || code == 0x2028 || code == 0x2029) {
    out += "↵";
  } else if (code == '\t') {
    out += "⇥";
  } else if (code < 0x20) {
    append_utf8(out, 0x2400 + code);
  } else if (code == 0x7F) {
    append_utf8(out, 0x2421);
  } else if ((code >= 0x80 && code < 0xA0) || (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF)) {
    append_utf8(out, 0xFFFD);
  } else if (reorders_or_hides(code)) {
    append_code(out, code);
  } else {
    append_utf8(out, code);
  }
}

// The codes of a text that is nothing but such spaces; empty for any other.
std::string codes_of_spaces(std::string_view bytes) {
  std::string codes;
  while (!bytes.empty()) {
    const Utf8Char next = next_utf8(bytes);
    if (!next.valid || !is_other_space(next.code)) return "";
    append_code(codes, next.code);
    bytes.remove_prefix(static_cast<size_t>(next.n_bytes));
  }
  return codes;
}

// Bytes at the end that could be the beginning of a character; 0 where there are none.
size_t unfinished_bytes(std::string_view bytes) {
  for (size_t n = 1; n <= std::min(bytes.size(), kLongestChar - 1); ++n) {
    const std::string_view tail = bytes.substr(bytes.size() - n);
    if ((static_cast<unsigned char>(tail[0]) & 0xC0) == 0x80) continue;  // a continuation byte: look further back
    const Utf8Char next = next_utf8(tail);
    return next.incomplete ? n : 0;
  }
  return 0;
}

// How many of the tokens, from the first, share characters; their bytes where they are more than one.
size_t join_split_character(std::span<const Token> tokens, std::string& joined) {
  size_t unfinished = unfinished_bytes(tokens[0].bytes);
  if (unfinished == 0) return 1;
  size_t count = 1;
  std::string bytes = tokens[0].bytes;
  for (size_t i = 1; i < std::min(tokens.size(), kLongestPiece) && unfinished > 0; ++i) {
    const size_t begin = bytes.size() - unfinished;
    bytes += tokens[i].bytes;
    const Utf8Char character = next_utf8(std::string_view(bytes).substr(begin));
    if (!character.valid && !character.incomplete) break;
    if (character.incomplete) {
      unfinished = bytes.size() - begin;
      continue;
    }
    count = i + 1;
    joined = bytes;
    unfinished = unfinished_bytes(bytes);
  }
  return count;
}

}  // namespace

std::string visible_text(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Char next = next_utf8(bytes);
    append_visible(out, next.code);
    bytes.remove_prefix(static_cast<size_t>(next.n_bytes));
  }
  return out;
}

std::string token_label(std::string_view bytes) {
  if (bytes.empty()) return "∅";
  if (std::string codes = codes_of_spaces(bytes); !codes.empty()) return codes;
  size_t begin = 0;
  while (begin < bytes.size() && bytes[begin] == ' ') ++begin;
  size_t end = bytes.size();
  while (end > begin && bytes[end - 1] == ' ') --end;
  std::string out;
  for (size_t i = 0; i < begin; ++i) out += "␣";
  out += visible_text(bytes.substr(begin, end - begin));
  for (size_t i = end; i < bytes.size(); ++i) out += "␣";
  return out;
}

std::vector<TokenPiece> token_pieces(std::span<const Token> tokens) {
  std::vector<TokenPiece> pieces;
  pieces.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size();) {
    std::string joined;
    const size_t count = join_split_character(tokens.subspan(i), joined);
    const std::string& bytes = count > 1 ? joined : tokens[i].bytes;
    pieces.push_back({.first = static_cast<int64_t>(i),
                      .count = static_cast<int64_t>(count),
                      .text = visible_text(bytes),
                      .ends_line = !bytes.empty() && bytes.back() == '\n'});
    i += count;
  }
  return pieces;
}

}  // namespace orrery
