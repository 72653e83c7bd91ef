// Parsing JSON that a stranger wrote.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

// `text` as JSON whose outermost value is an object; neither in it nor in the objects it directly holds does a key
// occur twice. kInvalidFile naming `path` and the reason: more than max_bytes, nested deeper than 64, not JSON, not
// UTF-8. The words Infinity, -Infinity and NaN, which Python writes though JSON lacks them, are read as the objects
// that transformers writes of late, {"__float__": "Infinity"}. Never throws.
Result<nlohmann::json> parse_json_object(std::string_view text, size_t max_bytes, const std::string& path);

}  // namespace orrery
