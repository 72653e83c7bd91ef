// GgufParser: the one place that reads a GGUF file's untrusted structure.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "engine/formats/gguf.h"
#include "kernels/base/result.h"

namespace orrery {

// Used once, by GgufFile::open. Every read checks what is left of the file first; lists grow as their elements are
// read, so that a count that lies costs nothing.
class GgufParser {
 public:
  explicit GgufParser(GgufFile& file) : file_(file), rest_(file.file_.bytes()) {}

  // Fills the file's version, metadata, tensors and indexes.
  Result<void> parse();

 private:
  Result<void> parse_version();
  Result<void> parse_metadata(uint64_t count);
  Result<void> parse_array(std::string_view key, GgufValue& value);
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

  GgufFile& file_;
  std::span<const std::byte> rest_;  // what is not read yet
};

}  // namespace orrery
