// Text that comes out of a file, made fit for an error message or a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace orrery {

// `text` as valid UTF-8 without control characters (they and stray bytes become \xNN), cut to about `max_chars`
// characters with "…" at the end. Names from a file are a stranger's: raw, they could drive the terminal.
std::string printable(std::string_view text, size_t max_chars = 80);

// The same in double quotes.
std::string in_quotes(std::string_view text, size_t max_chars = 80);

// Length in bytes (1–4) of the UTF-8 character at the start of `text`; 0 where there is none: a stray byte, an overlong
// form, a surrogate, beyond U+10FFFF, cut off, or empty text.
size_t utf8_char_length(std::string_view text);

}  // namespace orrery
