#include "engine/tokenizers/utf8.h"

#include <algorithm>
#include <cstdint>

#include "engine/formats/quoted.h"

namespace orrery {

bool is_utf8_prefix(std::string_view text) {
  if (text.empty()) return false;
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() >= length) return false;
  // Filled up with continuation bytes it must be a character: 0x80 fits all but where the second byte is still missing
  // and has a narrower range (E0, F0), where 0xbf fits; ED and F4 take 0x80.
  std::string filled(text);
  filled.append(length - text.size(), lead == 0xe0 || lead == 0xf0 ? '\xbf' : '\x80');
  return utf8_char_length(filled) == length;
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_char_length(text.substr(i, 4));
    if (length == 0) return false;
    i += length;
  }
  return true;
}

size_t broken_length(std::string_view text) {
  size_t length = std::min<size_t>(text.size(), 3);
  while (length > 1 && !is_utf8_prefix(text.substr(0, length))) --length;
  return length;
}

std::string replace_invalid_bytes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_char_length(text.substr(i, 4));
    out += length > 0 ? text.substr(i, length) : kReplacementCharacter;
    i += length > 0 ? length : 1;
  }
  return out;
}

}  // namespace orrery
