// UTF-8: where characters begin and end, and what to do with bytes that are none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace orrery {

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";  // U+FFFD

// True where `text` is the start of a character that more bytes could complete (so 1 to 3 bytes, not whole).
bool is_utf8_prefix(std::string_view text);

bool is_valid_utf8(std::string_view text);

// Bytes at the start of `text` that one U+FFFD stands for, where no character begins there: the longest start of a
// character that breaks off, or else a single stray byte (Unicode's recommended practice). `text` is not empty.
size_t broken_length(std::string_view text);

// `text` with each byte that belongs to no character replaced by U+FFFD.
std::string replace_invalid_bytes(std::string_view text);

}  // namespace orrery
