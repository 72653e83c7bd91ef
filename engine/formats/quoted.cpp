#include "engine/formats/quoted.h"

#include <cstdint>

namespace orrery {

size_t utf8_char_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  }
  const uint8_t second = byte(1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool surrogate = lead == 0xed && second >= 0xa0;
  const bool beyond = lead == 0xf4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

std::string printable(std::string_view text, size_t max_chars) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  size_t n_chars = 0;
  for (size_t i = 0; i < text.size(); ++n_chars) {
    if (n_chars == max_chars) return out + "…";
    const size_t length = utf8_char_length(text.substr(i));
    const auto lead = static_cast<uint8_t>(text[i]);
    // C0, DEL, and C1 (0xc2 0x80–0x9f in UTF-8, which some terminals obey) are not printed.
    const bool control =
        lead < 0x20 || lead == 0x7f || (lead == 0xc2 && length == 2 && static_cast<uint8_t>(text[i + 1]) < 0xa0);
    if (length > 0 && !control) {
      out += text.substr(i, length);
      i += length;
      continue;
    }
    for (size_t end = i + (length > 0 ? length : 1); i < end; ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string in_quotes(std::string_view text, size_t max_chars) { return '"' + printable(text, max_chars) + '"'; }

}  // namespace orrery
