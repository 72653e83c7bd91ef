// GgufParser: the one place that reads a GGUF file's untrusted structure.
#pragma once

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/formats/gguf.h"
#include "engine/formats/mapped_file.h"
#include "kernels/base/result.h"

namespace orrery {

// One GGUF file: a whole model, or a part of one. What it holds points into the mapping, so it does not move.
struct GgufPart {
  explicit GgufPart(MappedFile mapped) : file(std::move(mapped)) {}
  GgufPart(const GgufPart&) = delete;
  GgufPart& operator=(const GgufPart&) = delete;

  const std::string& path() const { return file.path(); }
  const GgufValue* find(std::string_view key) const;  // null where it is missing
  // The metadata's whole number from 0; the fallback where it is missing; kInvalidFile where it is of another type.
  Result<uint64_t> get_u64(std::string_view key, uint64_t fallback) const;

  MappedFile file;
  uint32_t version = 0;
  std::vector<GgufEntry> metadata;
  std::vector<std::vector<std::string_view>> string_arrays;  // what the values' spans of strings point to
  std::map<std::string_view, size_t> metadata_index;         // key -> index in metadata
  std::vector<StoredTensor> tensors;
};

// Used once per file, by open(). Every read checks what is left of the file first; lists grow as their elements are
// read, so that a count that lies costs nothing, and are bounded, as they take more memory than the file does.
class GgufParser {
 public:
  static Result<std::unique_ptr<GgufPart>> open(const std::filesystem::path& path);

 private:
  explicit GgufParser(GgufPart& part) : part_(part), rest_(part.file.bytes()) {}

  // Fills the part's version, metadata and tensors.
  Result<void> parse();
  Result<void> parse_version();
  Result<void> parse_metadata(uint64_t count);
  Result<GgufValue> parse_value(std::string_view key);
  Result<void> parse_array(std::string_view key, GgufValue& value);
  Result<void> parse_strings(const std::string& what, GgufValue& value);
  Result<void> parse_tensor_infos(uint64_t count);
  Result<StoredTensor> parse_tensor_info();
  Result<void> set_type(uint32_t type_id, StoredTensor& tensor);
  Result<uint64_t> alignment();
  Result<void> place_tensors();
  Result<void> check_no_overlap();

  template <typename T>
  Result<T> read(std::string_view what) {
    if (rest_.size() < sizeof(T)) return truncated(what);
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  Result<std::string_view> read_string(std::string_view what, uint64_t max_length);
  Result<GgufType> read_type(std::string_view key);

  Error truncated(std::string_view what) const;
  Error invalid(const std::string& why) const;

  GgufPart& part_;
  std::span<const std::byte> rest_;  // what is not read yet
  uint64_t n_strings_ = 0;           // in arrays, so far
};

}  // namespace orrery
