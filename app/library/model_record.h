// What is noted of a model that was fetched: from where it came and under which licence.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "kernels/base/result.h"

namespace orrery {

struct ModelRecord {
  std::string what;      // given to `models get`, it brings the model again
  std::string source;    // for people
  std::string revision;  // a commit, or empty
  std::string licence;   // its name
};

// Lies hidden beside the model, under its file's or folder's name: ".NAME.json".
std::filesystem::path record_path(const std::filesystem::path& model);
// Nothing where there is none, or it cannot be read.
std::optional<ModelRecord> read_record(const std::filesystem::path& model);
Result<void> write_record(const std::filesystem::path& model, const ModelRecord& record);

}  // namespace orrery
