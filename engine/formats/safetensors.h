// SafetensorsFile: one .safetensors file, read in place.
//
// Layout: u64 little-endian header length n; n bytes of JSON {name: {"dtype", "shape", "data_offsets": [begin, end]}},
// "__metadata__": {string: string}; then the data. Offsets count from the end of the header; together the tensors cover
// the data without overlap or hole, as the reference reader demands.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/formats/mapped_file.h"
#include "engine/formats/stored_tensor.h"
#include "kernels/base/result.h"

namespace orrery {

// Immutable once open; movable (tensors' views stay valid). Safe from any thread.
class SafetensorsFile {
 public:
  // kNotFound, kIo: from MappedFile. kInvalidFile: header length, JSON, dtypes, shapes or offsets that cannot be.
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  const std::string& path() const { return *path_; }
  uint64_t file_size() const { return file_.size(); }
  // By offset. dtypes F32, F16, BF16, I32, I64 can be used; others are listed.
  std::span<const StoredTensor> tensors() const { return tensors_; }

 private:
  explicit SafetensorsFile(MappedFile file);
  // Old writers did not pad the header, so that every tensor may lie askew. Vectors, which are read as floats, are
  // copied; matrices are multiplied at any alignment.
  Result<void> align(StoredTensor& tensor);

  MappedFile file_;
  std::unique_ptr<const std::string> path_;  // what the tensors' `path` points to, also after a move
  std::vector<StoredTensor> tensors_;
  std::vector<std::unique_ptr<std::byte[]>> aligned_copies_;  // of vectors that an odd header length put askew
};

}  // namespace orrery
