// The model that comes inside the program: trained by assets/train for tasks that a person can follow
// (assets/models/CARD.md). It needs no network: its files lie in the program and are written out where they are asked
// for, so that from then on it is an installed model like any other.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

inline constexpr std::string_view kEmbeddedModel = "orrery-hybrid";

struct EmbeddedFile {
  std::string_view name;  // "config.json"
  std::string_view bytes;
};

std::span<const EmbeddedFile> embedded_files();

// The folder `folder`/orrery-hybrid, made where it is missing and put right where its files are others: a program
// brings its own model. All or nothing: a reader never finds it half written. kIo naming the path.
Result<std::filesystem::path> unpack_embedded_model(const std::filesystem::path& folder);

}  // namespace orrery
