// The files of a Hugging Face folder, by name and without leaving it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

// The file `name` of the folder, where it may be read: the file itself, or a link that stays within the folder or, in a
// hub cache, leads from snapshots/<revision>/ to blobs/. kNotFound where it is missing, kInvalidFile for other links.
Result<std::filesystem::path> hf_folder_file(const std::filesystem::path& folder, std::string_view name);

// Its JSON, an object. Errors as of hf_folder_file and parse_json_object.
Result<nlohmann::json> read_hf_json(const std::filesystem::path& folder, std::string_view name, size_t max_bytes);

// The same, none where the folder has no such file.
Result<std::optional<nlohmann::json>> read_optional_hf_json(const std::filesystem::path& folder, std::string_view name,
                                                            size_t max_bytes);

// Its bytes, at most max_bytes; none where the folder has no such file.
Result<std::optional<std::string>> read_optional_hf_text(const std::filesystem::path& folder, std::string_view name,
                                                         size_t max_bytes);

}  // namespace orrery
