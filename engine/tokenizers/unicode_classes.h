// What Unicode 15.1 says of a code point, as far as tokenizers ask: tables of our own, because vocabularies were made
// with, and llama.cpp has, one version for good, while a regex library's changes with the system.
#pragma once

#include <cstdint>

namespace orrery {

inline constexpr uint32_t kMaxCodePoint = 0x10ffff;

// The general category's first letter.
enum class UnicodeClass : uint8_t {
  kUnassigned,
  kControl,  // with format, surrogate and private use characters
  kNumber,
  kSeparator,
  kLetter,
  kMark,
  kPunctuation,
  kSymbol
};

UnicodeClass unicode_class(uint32_t code_point);  // kUnassigned beyond kMaxCodePoint
bool is_white_space(uint32_t code_point);         // the White_Space property
bool is_han(uint32_t code_point);                 // in a block of Chinese characters, assigned or not

// One code point's simple lower case.
uint32_t lower_case(uint32_t code_point);

// The first code point of the canonical decomposition: é's is e.
uint32_t base_letter(uint32_t code_point);

}  // namespace orrery
