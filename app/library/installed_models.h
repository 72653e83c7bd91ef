// The models in the user's folder of models, and what the user means by a MODEL argument.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

struct InstalledModel {
  std::string name;            // a known model's name; else the file's name without .gguf, or the folder's name
  std::filesystem::path path;  // a GGUF file, or a folder with a config.json
  uint64_t n_bytes = 0;        // of the file, or of all files in the folder
};

// What lies in `folder`, sorted by name; a missing folder holds nothing. No file is opened: whether one is a whole
// model is told by loading it. kIo when the folder cannot be read.
Result<std::vector<InstalledModel>> installed_models(const std::filesystem::path& folder);

// The path of the model that `name_or_path` means: that path where it exists, else the installed model of that name
// (see installed_models) in `folder`. kNotFound otherwise, with a sentence that says how to get it.
Result<std::filesystem::path> resolve_model(std::string_view name_or_path, const std::filesystem::path& folder);

// The same two in models_folder().
Result<std::vector<InstalledModel>> installed_models();
Result<std::filesystem::path> resolve_model(std::string_view name_or_path);

}  // namespace orrery
