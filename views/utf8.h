// UTF-8, one character at a time, for text that may be anything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orrery {

struct Utf8Char {
  char32_t code = 0;
  int n_bytes = 1;          // taken from the input, at least 1
  bool valid = false;       // false: one bad byte (code is U+FFFD)
  bool incomplete = false;  // the input ends inside a character that could still become valid
};

// The character at the start of a non-empty text. Overlong forms, surrogates and codes past U+10FFFF are invalid.
Utf8Char next_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t code);

// Cells of a fixed-width font: 0 for combining marks and joiners, 2 for East Asian wide characters and emoji, else 1.
int cell_width(char32_t code);

}  // namespace orrery
