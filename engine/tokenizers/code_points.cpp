#include "engine/tokenizers/code_points.h"

#include "engine/tokenizers/unicode_classes.h"

namespace orrery {

size_t lenient_length(std::string_view text, size_t offset) {
  const auto lead = static_cast<uint8_t>(text[offset]);
  if (lead < 0x80) return 1;
  if (lead < 0xc0 || lead >= 0xf8) return 0;
  const size_t length = length_by_lead(text[offset]);
  if (text.size() - offset < length) return 0;
  for (const char byte : text.substr(offset + 1, length - 1)) {
    if ((byte & 0xc0) != 0x80) return 0;
  }
  return length;
}

uint32_t next_code_point(std::string_view text, size_t& offset) {
  constexpr uint32_t kReplacement = 0xfffd;
  const size_t length = lenient_length(text, offset);
  const auto lead = static_cast<uint8_t>(text[offset]);
  uint32_t code_point = length <= 1 ? lead : lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) code_point = code_point << 6 | (static_cast<uint8_t>(text[offset + i]) & 0x3fu);
  const bool is_character = length > 0 && code_point <= kMaxCodePoint;
  offset += is_character ? length : 1;
  return is_character ? code_point : kReplacement;
}

std::vector<uint32_t> code_points(std::string_view text) {
  std::vector<uint32_t> points;
  points.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) points.push_back(next_code_point(text, offset));
  return points;
}

void append_utf8(uint32_t code_point, std::string& out) {
  const auto continuation = [&](int shift) { out += static_cast<char>(0x80 | ((code_point >> shift) & 0x3f)); };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xc0 | code_point >> 6);
    continuation(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xe0 | code_point >> 12);
    continuation(6);
    continuation(0);
  } else {
    out += static_cast<char>(0xf0 | code_point >> 18);
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

size_t length_by_lead(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
}

}  // namespace orrery
