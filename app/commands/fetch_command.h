// Fetching a known model at a terminal: its licence first, then progress; Ctrl-C cancels.
#pragma once

#include <filesystem>

#include "app/library/fetch.h"
#include "app/library/known_models.h"
#include "kernels/base/result.h"

namespace orrery {

Result<std::filesystem::path> fetch_with_progress(const KnownModel& model);

}  // namespace orrery
