// Spaces as SentencePiece's vocabularies spell them: "▁" (U+2581).
#pragma once

#include <string>
#include <string_view>

namespace orrery {

inline constexpr std::string_view kEscapedSpace = "\xe2\x96\x81";

std::string escape_spaces(std::string_view text);
std::string unescape_spaces(std::string_view text);

}  // namespace orrery
