#include "engine/tokenizers/byte_tokens.h"

namespace orrery {

std::string byte_token(uint8_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

std::optional<uint8_t> byte_of_token(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling.back() != '>') return std::nullopt;
  size_t value = 0;
  for (const char digit : spelling.substr(3, 2)) {
    const size_t place =
        std::string_view("0123456789abcdef").find(digit >= 'A' && digit <= 'F' ? static_cast<char>(digit + 32) : digit);
    if (place == std::string_view::npos) return std::nullopt;
    value = value * 16 + place;
  }
  return static_cast<uint8_t>(value);
}

std::array<std::optional<int32_t>, 256> find_byte_tokens(const Vocabulary& vocabulary) {
  std::array<std::optional<int32_t>, 256> ids;
  for (size_t byte = 0; byte < ids.size(); ++byte) ids[byte] = vocabulary.find(byte_token(static_cast<uint8_t>(byte)));
  return ids;
}

}  // namespace orrery
