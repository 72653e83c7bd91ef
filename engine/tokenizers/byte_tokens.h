// Byte tokens, "<0x0A>": what SentencePiece's vocabularies fall back on for characters that they lack.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/tokenizers/vocabulary.h"

namespace orrery {

std::string byte_token(uint8_t byte);

// The byte that a token's spelling names, in digits of either case.
std::optional<uint8_t> byte_of_token(std::string_view spelling);

// The byte tokens of a vocabulary, by their spelling.
std::array<std::optional<int32_t>, 256> find_byte_tokens(const Vocabulary& vocabulary);

}  // namespace orrery
