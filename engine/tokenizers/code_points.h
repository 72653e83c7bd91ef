// Code points as llama.cpp reads and writes them: leniently, so that any bytes are a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orrery {

// Bytes (1-4) of the character at `offset`; 0 for a byte that is of none. Only the high bits count: overlong forms,
// surrogates and what lies beyond U+10FFFF are characters.
size_t lenient_length(std::string_view text, size_t offset);

// The code point at `offset`, which moves past it. Overlong forms and surrogates are read as they are written; any
// other byte that is not of a character, and every byte of one beyond U+10FFFF, is U+FFFD and one byte long.
uint32_t next_code_point(std::string_view text, size_t& offset);

std::vector<uint32_t> code_points(std::string_view text);

// `code_point` <= 0x10ffff; surrogates take three bytes.
void append_utf8(uint32_t code_point, std::string& out);

// Bytes of the character that `lead` begins, by its high bits alone; 1 for a byte that begins none.
size_t length_by_lead(char lead);

}  // namespace orrery
