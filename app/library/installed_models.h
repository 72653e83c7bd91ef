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
  std::string name;            // a known model's name; else the file's name without numbers of shards and .gguf, or the
                               // folder's name
  std::filesystem::path path;  // a GGUF file (a split model's first), or a folder with a config.json
  uint64_t n_bytes = 0;        // of the file, of all shards, or of all files in the folder
  std::string licence;         // its name, as it was noted when the model was fetched; empty where nobody knows
  std::string source;          // from where it was fetched; empty where nobody knows
  std::vector<std::filesystem::path> shards = {};  // of a split model, all that are there; else empty
};

// What lies in `folder`, sorted by name; a missing folder holds nothing. No model is opened: whether one is whole is
// told by loading it. kIo when the folder cannot be read.
Result<std::vector<InstalledModel>> installed_models(const std::filesystem::path& folder);

// The path of the model that `name_or_path` means: that path where it exists, else the installed model of that name
// (see installed_models) in `folder`. kNotFound otherwise, with a sentence that says how to get it.
Result<std::filesystem::path> resolve_model(std::string_view name_or_path, const std::filesystem::path& folder);

// Deletes the installed model of that name from `folder`, and what a broken-off fetch of it left; nothing outside the
// folder, and of a symbolic link the link alone. Returns the bytes that were freed. kNotFound, kBusy while it is being
// fetched, kIo.
Result<uint64_t> remove_model(std::string_view name, const std::filesystem::path& folder);

// The same in models_folder(), where the model that comes with the program (embedded_model.h) is put first if it is
// not there.
Result<std::vector<InstalledModel>> installed_models();
Result<std::filesystem::path> resolve_model(std::string_view name_or_path);

}  // namespace orrery
