// Cuts a Jinja template into text, {{ outputs }} and {% statements %}, and those into tokens. White space is treated as
// chat templates are rendered everywhere: trim_blocks and lstrip_blocks on, "-" and "+" honoured.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"

namespace orrery::jinja {

struct LexToken {
  enum class Kind : uint8_t { kName, kText, kInteger, kReal, kOperator };
  Kind kind = Kind::kName;
  std::string text;  // a name, an operator, a text with its escapes resolved, or a number as spelled
};

struct Chunk {
  enum class Kind : uint8_t { kText, kOutput, kStatement };
  Kind kind = Kind::kText;
  std::string text;              // kText
  std::vector<LexToken> tokens;  // else
};

// Linear in the length of the source. kUnsupported, with what is wrong, for what is no Jinja.
Result<std::vector<Chunk>> lex(std::string_view source);

}  // namespace orrery::jinja
