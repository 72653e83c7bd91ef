// A file that is being fetched: NAME.part, and beside it NAME.part.json, which says of what it is the beginning.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

// Of what a part is the beginning.
struct PartOrigin {
  std::string address;  // as WebAddress::shown
  std::string etag;
  std::string last_modified;
  std::optional<uint64_t> n_bytes;  // of the whole file

  // What proves to the server that the bytes are of this version: a strong ETag, else the date of the last change;
  // empty where it gave neither.
  std::string validator() const;
};

// One thread at a time.
class PartFile {
 public:
  // Opens the part beside `target`, made where it is missing; never through a symbolic link. kIo.
  static Result<PartFile> open(const std::filesystem::path& target);
  ~PartFile();
  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&&) = delete;

  uint64_t n_bytes() const { return n_bytes_; }
  // Nothing where the part has no readable origin: then its bytes are of no use.
  const std::optional<PartOrigin>& origin() const { return origin_; }

  Result<void> append(std::string_view bytes);
  // Empties it, and notes what is to come.
  Result<void> begin(const PartOrigin& origin);
  // All of it on the disk, and under the target's name; an existing file is replaced. The origin is removed.
  Result<void> become_target();
  // Removes both files.
  void discard();

  static std::filesystem::path path_of(const std::filesystem::path& target);
  const std::filesystem::path& path() const { return path_; }

 private:
  PartFile(std::filesystem::path target, int descriptor);
  Error failure(const char* what) const;  // of errno
  std::filesystem::path origin_path() const;

  std::filesystem::path target_;
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t n_bytes_ = 0;
  std::optional<PartOrigin> origin_;
};

}  // namespace orrery
