// Takes one file out of a zip archive that a stranger made.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "kernels/base/result.h"

namespace orrery {

enum class UnzipMode { kNew, kAppend };  // the target must not exist yet, or goes on with what is unpacked

// Writes the member called exactly `member` to `target`. No path of the archive is used, and no byte beyond `n_bytes`,
// which must be the member's size. On failure `target` is left as far as it got.
// `progress` and `cancel` as in sha256_of_file. kInvalidFile for a damaged archive, a missing or encrypted member or
// one of another size; kIo when writing fails; kCancelled.
Result<void> unzip_member(const std::filesystem::path& archive, const std::string& member, uint64_t n_bytes,
                          const std::filesystem::path& target,
                          const std::function<void(uint64_t done_bytes)>& progress = {},
                          const std::atomic<bool>* cancel = nullptr, UnzipMode mode = UnzipMode::kNew);

}  // namespace orrery
