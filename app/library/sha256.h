// SHA-256, of bytes as they come and of a file.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "kernels/base/result.h"

namespace orrery {

// Takes bytes piece by piece. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);

  // Lower-case hexadecimal, 64 characters. Ends the sum: to be called once, and last.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Lower-case hexadecimal, 64 characters. `progress`, where there is one, is told the bytes read so far about once a
// MiB, on the calling thread; `cancel`, where there is one, is looked at as often. kNotFound, kIo, kCancelled.
Result<std::string> sha256_of_file(const std::filesystem::path& path,
                                   const std::function<void(uint64_t done_bytes)>& progress = {},
                                   const std::atomic<bool>* cancel = nullptr);

}  // namespace orrery
