// Brings one file from the web to the disk: resumed where it was broken off, checked, and under its name only when it
// is whole.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "app/library/http_get.h"
#include "kernels/base/result.h"

namespace orrery {

enum class FetchStage { kAsking, kDownloading, kUnpacking, kChecking };

struct Download {
  HttpRequest request;                   // offset and if_range are filled in here
  std::filesystem::path target;          // beside it lie, meanwhile, target.part and target.part.json
  std::optional<uint64_t> n_bytes = {};  // as a listing announced it; the server's own word must agree
  std::string sha256 = {};               // lower-case hexadecimal; empty where nobody knows it
  std::string first_bytes = {};          // what the file must begin with: "GGUF"; may be empty
};

struct DownloadOptions {
  HttpPatience patience;
  // A failure that may pass is followed by another try, after `first_wait`, twice that and so on, at most a minute, or
  // what the server asks for. Given up after `most_tries` in a row that brought less than 1 MiB each.
  int most_tries = 5;
  std::chrono::milliseconds first_wait{1000};
  // On the calling thread; n_bytes is 0 where nobody knows it. May be empty.
  std::function<void(FetchStage stage, uint64_t done_bytes, uint64_t n_bytes)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

struct Downloaded {
  uint64_t n_bytes = 0;
  std::string sha256;
};

// Where target.part holds the beginning of the same address' file and the server can prove that the file is the same
// (its validator in If-Range, or the SHA-256 at the end), only the rest is asked for; a server that sends all of it
// again is taken at its word. target.part stays after a failure or a cancel, and goes when it turned out wrong. An
// existing target is replaced. Blocks: not for the UI thread.
//
// kIo (network, disk), kNotFound, kUnsupported (no access, a redirect that is refused), kInvalidFile (not what was
// asked for), kMismatch (size or SHA-256), kCancelled.
Result<Downloaded> download(const Download& what, const DownloadOptions& options);

// kIo where the folder's disk has not that much room and a little more.
Result<void> check_room(const std::filesystem::path& folder, uint64_t n_bytes);

// How many bytes of the target a call of download() would find: in target.part, else 0.
uint64_t bytes_there(const std::filesystem::path& target);

}  // namespace orrery
