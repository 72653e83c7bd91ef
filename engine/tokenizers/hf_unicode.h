// Characters and their properties, as the steps of a tokenizer.json ask for them: the one file that knows ICU.
//
// The Hugging Face tokenizers use tables of several versions of Unicode, and ids follow from them: normal forms are those
// of Unicode 11, punctuation and what BERT takes out those of 8, other marks and scripts those of 9. Later characters are
// taken for unassigned there. White space, numbers, word characters and case are of the latest version that ICU knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

// The character at text[at], which must be inside valid UTF-8; `at` moves behind it.
char32_t next_character(std::string_view text, size_t& at);

// Calls `on_character` with each character of `text` (valid UTF-8) and its own bytes.
template <typename F>
void for_each_character(std::string_view text, F&& on_character) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_character(text, at);
    on_character(c, text.substr(begin, at - begin));
  }
}

size_t count_characters(std::string_view text);

// `bytes` as UTF-8: the longest start of a character that breaks off, or else one stray byte, becomes U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

bool is_white_space(char32_t c);        // the property White_Space
bool is_numeric(char32_t c);            // Nd, Nl, No
bool is_word_character(char32_t c);     // \w of UTS #18: Alphabetic, M, Nd, Pc, Join_Control
bool is_punctuation(char32_t c);        // P, or one of ASCII's symbols
bool is_mark(char32_t c);               // M
bool is_nonspacing_mark(char32_t c);    // Mn
bool is_control_or_unused(char32_t c);  // Cc, Cf, Co: what BERT's cleaning takes out

// Appends the full lower case of one character (two for U+0130), whatever stands beside it.
void append_lower_case(std::string& text, char32_t c);

// A number for the script of the character (Script property, no extensions); -1 for characters of no known script.
int script_of(char32_t c);

enum class NormalForm : uint8_t { kNfc, kNfd, kNfkc, kNfkd };
Result<std::string> to_normal_form(std::string_view text, NormalForm form);

// Calls `on_cluster` with each extended grapheme cluster of `text` (valid UTF-8, below 2 GiB), in order.
Result<void> for_each_grapheme(std::string_view text, const std::function<void(std::string_view)>& on_cluster);

}  // namespace orrery
