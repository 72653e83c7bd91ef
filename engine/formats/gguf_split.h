// The files that a GGUF model is split into, by their names: NAME-00001-of-00003.gguf.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/formats/gguf_parser.h"
#include "kernels/base/result.h"

namespace orrery {

// A part's file name, taken apart.
struct GgufPartName {
  std::string name;     // before "-00001-of-00003.gguf"
  uint64_t number = 0;  // from 1 to count
  uint64_t count = 0;

  std::string of(uint64_t other) const;  // the file name of another part
};

// Empty where the name is not that of a part: two numbers of five digits, from 1.
std::optional<GgufPartName> parse_gguf_part_name(std::string_view file_name);

// The file's parts in order: itself alone, or the whole of a split model when it is any part of one. Errors as of
// GgufFile::open. The others are siblings of `path` as it was given, so that links in a download cache lead to links.
Result<std::vector<std::unique_ptr<const GgufPart>>> open_gguf_parts(const std::filesystem::path& path);

}  // namespace orrery
