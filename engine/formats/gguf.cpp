#include "engine/formats/gguf.h"

#include <algorithm>
#include <fstream>

#include "engine/formats/gguf_parser.h"
#include "engine/formats/gguf_split.h"
#include "engine/formats/quoted.h"

namespace orrery {
namespace {

constexpr std::string_view kMagic = "GGUF";

template <typename T>
Result<T> with_fallback(const Result<T>& result, const std::optional<T>& fallback) {
  if (!result && fallback && result.error().code == ErrorCode::kNotFound) return *fallback;
  return result;
}

Error missing_key(std::string_view key, const std::string& path) {
  return Error{ErrorCode::kNotFound, path + " lacks the metadata key " + in_quotes(key)};
}

Error wrong_type(std::string_view key, std::string_view wanted, const GgufValue& value, const std::string& path) {
  return Error{ErrorCode::kInvalidFile, path + ": the metadata key " + in_quotes(key) + " should be " +
                                            std::string(wanted) + ", but is " +
                                            std::string(gguf_type_name(value.type())) + " " + value.to_string()};
}

template <typename T, typename Read>
Result<T> get_scalar(const GgufFile& file, std::string_view key, std::string_view wanted, Read read) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return missing_key(key, file.path());
  const std::optional<T> result = read(*value);
  if (!result) return wrong_type(key, wanted, *value, file.path());
  return *result;
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path, std::vector<std::unique_ptr<const GgufPart>> parts)
    : path_(path.string()), parts_(std::move(parts)) {}

GgufFile::~GgufFile() = default;

Result<std::shared_ptr<const GgufFile>> GgufFile::open(const std::filesystem::path& path) {
  ORRERY_ASSIGN_OR_RETURN(std::vector<std::unique_ptr<const GgufPart>> parts, open_gguf_parts(path));
  const std::shared_ptr<GgufFile> file(new GgufFile(path, std::move(parts)));
  ORRERY_RETURN_IF_ERROR(file->merge_tensors());
  return std::shared_ptr<const GgufFile>(file);
}

Result<void> GgufFile::merge_tensors() {
  for (const auto& part : parts_) tensors_.insert(tensors_.end(), part->tensors.begin(), part->tensors.end());
  for (size_t i = 0; i < tensors_.size(); ++i) {  // after the last insertion: the keys point into the list
    if (tensor_index_.emplace(tensors_[i].name, i).second) continue;
    return Error{ErrorCode::kInvalidFile, std::string(tensors_[i].path) + " is not a valid GGUF file: the tensor " +
                                              in_quotes(tensors_[i].name) + " occurs twice"};
  }
  return {};
}

uint32_t GgufFile::version() const { return parts_.front()->version; }

uint64_t GgufFile::file_size() const {
  uint64_t size = 0;
  for (const auto& part : parts_) size += part->file.size();
  return size;
}

std::span<const std::byte> GgufFile::header() const {
  const GgufPart& first = *parts_.front();
  uint64_t size = first.file.size();
  for (const StoredTensor& tensor : first.tensors) size = std::min(size, tensor.offset);
  return first.file.bytes().first(size);
}

std::span<const GgufEntry> GgufFile::metadata() const { return parts_.front()->metadata; }

bool GgufFile::looks_like(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  char magic[4] = {};
  std::ifstream stream(path, std::ios::binary);
  return stream.read(magic, sizeof magic) && std::string_view(magic, sizeof magic) == kMagic;
}

std::string_view GgufFile::architecture() const {
  const GgufValue* value = find("general.architecture");
  return value == nullptr ? std::string_view{} : value->as_string().value_or(std::string_view{});
}

const GgufValue* GgufFile::find(std::string_view key) const { return parts_.front()->find(key); }

const StoredTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

Result<uint64_t> GgufFile::get_u64(std::string_view key, std::optional<uint64_t> fallback) const {
  const auto read = [](const GgufValue& value) { return value.as_u64(); };
  return with_fallback(get_scalar<uint64_t>(*this, key, "a whole number from 0", read), fallback);
}

Result<int64_t> GgufFile::get_i64(std::string_view key, std::optional<int64_t> fallback) const {
  const auto read = [](const GgufValue& value) { return value.as_i64(); };
  return with_fallback(get_scalar<int64_t>(*this, key, "a whole number", read), fallback);
}

Result<double> GgufFile::get_f64(std::string_view key, std::optional<double> fallback) const {
  const auto read = [](const GgufValue& value) { return value.as_f64(); };
  return with_fallback(get_scalar<double>(*this, key, "a number", read), fallback);
}

Result<bool> GgufFile::get_bool(std::string_view key, std::optional<bool> fallback) const {
  const auto read = [](const GgufValue& value) { return value.as_bool(); };
  return with_fallback(get_scalar<bool>(*this, key, "true or false", read), fallback);
}

Result<std::string_view> GgufFile::get_string(std::string_view key, std::optional<std::string_view> fallback) const {
  const auto read = [](const GgufValue& value) { return value.as_string(); };
  return with_fallback(get_scalar<std::string_view>(*this, key, "a string", read), fallback);
}

Result<std::vector<int64_t>> GgufFile::get_ints(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing_key(key, path());
  std::vector<int64_t> ints;
  for (uint64_t i = 0; value->is_array() && i < value->size(); ++i) {
    const auto element = value->int_at(i);
    if (!element) return wrong_type(key, "an array of whole numbers", *value, path());
    ints.push_back(*element);
  }
  if (!value->is_array()) return wrong_type(key, "an array of whole numbers", *value, path());
  return ints;
}

Result<std::vector<float>> GgufFile::get_floats(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing_key(key, path());
  std::vector<float> floats;
  for (uint64_t i = 0; value->is_array() && i < value->size(); ++i) {
    const auto element = value->number_at(i);
    if (!element) return wrong_type(key, "an array of numbers", *value, path());
    floats.push_back(static_cast<float>(*element));
  }
  if (!value->is_array()) return wrong_type(key, "an array of numbers", *value, path());
  return floats;
}

Result<std::span<const std::string_view>> GgufFile::get_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing_key(key, path());
  const auto strings = value->as_strings();
  if (!strings) return wrong_type(key, "an array of strings", *value, path());
  return *strings;
}

}  // namespace orrery
