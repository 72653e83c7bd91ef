// The tidying of English text that BERT's decoders end with: no space before a full stop, contractions in one word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orrery {

// kWordPiece: the decoder's, token by token; it also writes " do not" as " don't". kWholeText: what
// clean_up_tokenization_spaces of tokenizer_config.json asks for.
enum class HfCleanUp : uint8_t { kWordPiece, kWholeText };

std::string hf_clean_up(std::string text, HfCleanUp kind);

// `text` with every `old` replaced, from the left; empty `old` stands before every character and at the end.
std::string hf_replace_all(std::string text, std::string_view old, std::string_view by);

}  // namespace orrery
