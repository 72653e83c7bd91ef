// Reads a Jinja template: its whole syntax as chat templates use it, also where it is not understood until it is run
// (filters, tests and functions are looked up by render()).
#pragma once

#include <string_view>

#include "engine/jinja/syntax.h"
#include "kernels/base/result.h"

namespace orrery::jinja {

inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;  // the longest known ones have 30 KB
inline constexpr int kMaxSyntaxDepth = 150;                   // of expressions and of blocks, each

// Linear in the length of the source. kUnsupported with a few words for what is no Jinja, nests too deeply, is too
// long, or has a statement that chat templates have no use for (include, extends, block, raw, call, filter).
Result<Body> parse_template(std::string_view source);

}  // namespace orrery::jinja
