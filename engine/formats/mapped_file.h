// MappedFile: a whole file, mapped read only. Weights, vocabularies and headers are read in place.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "kernels/base/result.h"

namespace orrery {

// Owns one mapping; movable, not copyable. Reading it is safe from any thread. A file that another program shortens
// while it is mapped cannot be read safely (the system sends SIGBUS): models are not edited in place.
class MappedFile {
 public:
  // kNotFound where there is no such file; kIo for a folder, a device or an unreadable file; kInvalidFile for an empty
  // one.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }  // starts at a page boundary
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  MappedFile() = default;
  void unmap();

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace orrery
