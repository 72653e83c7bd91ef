// The SHA-256 of a file.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "kernels/base/result.h"

namespace orrery {

// Lower-case hexadecimal, 64 characters. `progress`, where there is one, is told the bytes read so far about once a
// MiB, on the calling thread; `cancel`, where there is one, is looked at as often. kNotFound, kIo, kCancelled.
Result<std::string> sha256_of_file(const std::filesystem::path& path,
                                   const std::function<void(uint64_t done_bytes)>& progress = {},
                                   const std::atomic<bool>* cancel = nullptr);

}  // namespace orrery
