#include "engine/tokenizers/byte_alphabet.h"

#include <array>

namespace orrery {
namespace {

constexpr int kFirstExtra = 0x100;  // the code point of the first byte that cannot stand for itself
constexpr int kCodePoints = kFirstExtra + 68;

struct Alphabet {
  std::array<std::string, 256> spelling;
  std::array<int, kCodePoints> byte;  // by code point; -1 outside the alphabet

  Alphabet() {
    byte.fill(-1);
    int next_extra = kFirstExtra;
    for (int value = 0; value < 256; ++value) {
      const bool prints = (value >= 0x21 && value <= 0x7e) || (value >= 0xa1 && value <= 0xff && value != 0xad);
      const int code_point = prints ? value : next_extra++;
      byte[static_cast<size_t>(code_point)] = value;
      std::string& text = spelling[static_cast<size_t>(value)];
      if (code_point < 0x80) {
        text = static_cast<char>(code_point);
      } else {
        text = {static_cast<char>(0xc0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 0x3f))};
      }
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

std::string_view spelling_of_byte(uint8_t byte) { return alphabet().spelling[byte]; }

std::string spell_bytes(std::string_view bytes) {
  std::string spelling;
  spelling.reserve(bytes.size() * 2);
  for (const char byte : bytes) spelling += spelling_of_byte(static_cast<uint8_t>(byte));
  return spelling;
}

std::string bytes_of_spelling(std::string_view spelling) {
  std::string bytes;
  for (size_t i = 0; i < spelling.size();) {
    const auto lead = static_cast<uint8_t>(spelling[i]);
    int code_point = lead;
    size_t length = 1;
    if (lead >= 0x80) {  // the alphabet's characters have at most two bytes
      const bool two = (lead & 0xe0) == 0xc0 && i + 1 < spelling.size() && (spelling[i + 1] & 0xc0) == 0x80;
      code_point = two ? (lead & 0x1f) << 6 | (spelling[i + 1] & 0x3f) : kCodePoints;
      length = 2;
    }
    const int byte = code_point < kCodePoints ? alphabet().byte[static_cast<size_t>(code_point)] : -1;
    if (byte < 0) return std::string(spelling);
    bytes += static_cast<char>(byte);
    i += length;
  }
  return bytes;
}

}  // namespace orrery
