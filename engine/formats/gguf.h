// GgufFile: reads GGUF versions 2 and 3, little endian, in place; a model that is split into several files as one.
//
// Layout: "GGUF", u32 version, u64 n_tensors, u64 n_metadata; metadata entries {string key, u32 type, value}; tensor
// entries {string name, u32 n_dims, u64 dims[n_dims] innermost first, u32 ggml type, u64 offset}; padding to
// general.alignment (32); tensor data. A string is {u64 length, bytes}; an array {u32 element type, u64 count,
// elements}. The bytes are a stranger's: every count, length and offset is held against the file's size before anything
// is allocated.
//
// A split model is NAME-00001-of-0000N.gguf to NAME-0000N-of-0000N.gguf in one folder. Each is a GGUF file with the
// metadata split.no (from 0) and split.count; the first also has all other metadata and split.tensors.count. The others
// are found by that rule for names alone: no path is ever read from a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/formats/stored_tensor.h"
#include "kernels/base/result.h"

namespace orrery {

// Types of metadata values, numbered as in the format.
enum class GgufType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

std::string_view gguf_type_name(GgufType type);  // "u32", "string", "array"

// What ggml calls a tensor type: its name and block layout, also of those that Orrery cannot compute on.
struct GgmlType {
  uint32_t id;
  std::string_view name;       // "Q4_K"
  uint32_t block_size;         // elements per block
  uint32_t block_bytes;        // bytes per block
  std::optional<DType> dtype;  // none: listed, but not computed on
};

const GgmlType* find_ggml_type(uint32_t id);  // null for an id that ggml does not define

// One metadata value, in place: strings and arrays point into the mapping.
class GgufValue {
 public:
  GgufType type() const { return type_; }
  GgufType element_type() const { return element_type_; }  // of an array; else type()
  bool is_array() const { return type_ == GgufType::kArray; }
  uint64_t size() const { return count_; }  // elements of an array; else 1

  // Empty where the value is of another kind, or (integers) does not fit.
  std::optional<uint64_t> as_u64() const;
  std::optional<int64_t> as_i64() const;
  std::optional<double> as_f64() const;  // any number
  std::optional<bool> as_bool() const;
  std::optional<std::string_view> as_string() const;  // bytes as stored; not necessarily UTF-8
  std::optional<std::span<const std::string_view>> as_strings() const;
  // Element i < size() of an array of numbers or bools; a scalar is its own element 0.
  std::optional<int64_t> int_at(uint64_t i) const;
  std::optional<double> number_at(uint64_t i) const;

  // For people: scalars and strings whole or cut to about `max_chars`, arrays as "[3, 3, 1, …] (49152 × i32)";
  // control characters escaped, always valid UTF-8.
  std::string to_string(size_t max_chars = 80) const;

 private:
  friend class GgufParser;
  GgufType type_ = GgufType::kU8;
  GgufType element_type_ = GgufType::kU8;
  uint64_t count_ = 1;
  std::span<const std::byte> packed_;          // the elements' bytes, unaligned; empty for arrays of strings
  std::span<const std::string_view> strings_;  // of an array of strings
  std::string_view string_;
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

struct GgufPart;  // one file of them, parsed

// An open GGUF model, of one file or of all that it is split into. Immutable, shared by whoever holds views into it;
// safe from any thread.
class GgufFile final : public TensorSource {
 public:
  // Opens the file, and with any part of a split model all the others. kNotFound, kIo: from MappedFile; a part that is
  // missing. kInvalidFile: not GGUF, truncated, or counts, lengths and offsets that cannot be; parts that do not fit
  // together. kUnsupported: version 1, big endian. Files without tensors (vocabulary only) and of any architecture
  // open.
  static Result<std::shared_ptr<const GgufFile>> open(const std::filesystem::path& path);
  ~GgufFile() override;

  // True where the file starts with the GGUF magic; false for anything else, also for a file that cannot be read.
  static bool looks_like(const std::filesystem::path& path);

  const std::string& path() const override { return path_; }
  uint32_t version() const;    // of the first file
  uint64_t file_size() const;  // of all files together
  size_t n_files() const { return parts_.size(); }
  // The first file up to its tensors' data: all metadata, and the descriptions of its tensors.
  std::span<const std::byte> header() const;
  std::string_view architecture() const;  // general.architecture; empty where it is missing

  // Metadata of the (first) file in its order, for `info`.
  std::span<const GgufEntry> metadata() const;
  const GgufValue* find(std::string_view key) const;  // null where it is missing

  // Typed values. kNotFound names the missing key and the file; kInvalidFile a key of another type, or out of range.
  // With `fallback`, a missing key gives that; a key of the wrong type is still an error.
  Result<uint64_t> get_u64(std::string_view key, std::optional<uint64_t> fallback = {}) const;
  Result<int64_t> get_i64(std::string_view key, std::optional<int64_t> fallback = {}) const;
  Result<double> get_f64(std::string_view key, std::optional<double> fallback = {}) const;
  Result<bool> get_bool(std::string_view key, std::optional<bool> fallback = {}) const;
  Result<std::string_view> get_string(std::string_view key, std::optional<std::string_view> fallback = {}) const;
  // Arrays of any integer (or bool) type, any number type, strings.
  Result<std::vector<int64_t>> get_ints(std::string_view key) const;
  Result<std::vector<float>> get_floats(std::string_view key) const;
  Result<std::span<const std::string_view>> get_strings(std::string_view key) const;

  std::span<const StoredTensor> tensors() const override { return tensors_; }
  const StoredTensor* find_tensor(std::string_view name) const override;

 private:
  GgufFile(const std::filesystem::path& path, std::vector<std::unique_ptr<const GgufPart>> parts);
  Result<void> merge_tensors();

  std::string path_;                                    // as the user named it
  std::vector<std::unique_ptr<const GgufPart>> parts_;  // by number
  std::vector<StoredTensor> tensors_;                   // of all parts
  std::map<std::string_view, size_t> tensor_index_;     // name -> index in tensors_
};

}  // namespace orrery
