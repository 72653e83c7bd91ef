// The alphabet of byte-level BPE (GPT-2's): every byte is spelled as one printable character, so that a vocabulary of
// byte strings can be stored as text. Bytes that print in Latin-1 stand for themselves; the other 68 are U+0100 onward.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orrery {

// The character that spells `byte`, in UTF-8; lives forever.
std::string_view spelling_of_byte(uint8_t byte);

// `bytes` spelled in the alphabet: " a" as "Ġa".
std::string spell_bytes(std::string_view bytes);

// The bytes that `spelling` stands for; where it holds a character from outside the alphabet, its own bytes, as in the
// reference decoder.
std::string bytes_of_spelling(std::string_view spelling);

}  // namespace orrery
