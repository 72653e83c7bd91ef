// UTF-8 as the program meets it in arguments, files and model output.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace orrery {

// Length in bytes of the valid UTF-8 character that `text` starts with; 0 where there is none (or no text).
size_t utf8_character(std::string_view text);

// The text with every byte that belongs to no character replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

}  // namespace orrery
