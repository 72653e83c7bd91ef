#include "engine/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <new>

#include "engine/formats/bounded_json.h"
#include "engine/formats/quoted.h"

namespace orrery {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit

struct SafetensorsType {
  std::string_view name;
  uint32_t bits;  // per element; some are less than a byte
  std::optional<DType> dtype;
};

constexpr std::array kTypes = {
    SafetensorsType{"F32", 32, DType::kF32},
    SafetensorsType{"F16", 16, DType::kF16},
    SafetensorsType{"BF16", 16, DType::kBF16},
    SafetensorsType{"I32", 32, DType::kI32},
    SafetensorsType{"I64", 64, DType::kI64},
    SafetensorsType{"F64", 64, {}},
    SafetensorsType{"BOOL", 8, {}},
    SafetensorsType{"U8", 8, {}},
    SafetensorsType{"I8", 8, {}},
    SafetensorsType{"U16", 16, {}},
    SafetensorsType{"I16", 16, {}},
    SafetensorsType{"U32", 32, {}},
    SafetensorsType{"U64", 64, {}},
    SafetensorsType{"F8_E5M2", 8, {}},
    SafetensorsType{"F8_E4M3", 8, {}},
    SafetensorsType{"F8_E5M2FNUZ", 8, {}},
    SafetensorsType{"F8_E4M3FNUZ", 8, {}},
    SafetensorsType{"F8_E8M0", 8, {}},
    SafetensorsType{"F6_E2M3", 6, {}},
    SafetensorsType{"F6_E3M2", 6, {}},
    SafetensorsType{"F4", 4, {}},
    SafetensorsType{"C64", 64, {}},
};

const SafetensorsType* find_type(std::string_view name) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& type) { return type.name == name; });
  return found == kTypes.end() ? nullptr : found;
}

// Alignment that computing on the dtype needs.
size_t element_alignment(DType dtype) {
  switch (dtype) {
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    default:
      return 2;
  }
}

bool is_size(const nlohmann::json& value) { return value.is_number_unsigned(); }

Error invalid(std::string_view path, const std::string& why) {
  return Error{ErrorCode::kInvalidFile, std::string(path) + " is not a valid safetensors file: " + why};
}

// The shape of `tensor` from the header's list of sizes.
Result<void> set_shape(const nlohmann::json& sizes, StoredTensor& tensor) {
  std::vector<int64_t> dims;
  tensor.n_elements = 1;
  bool empty = false;
  for (const nlohmann::json& size : sizes) {
    const uint64_t dim = is_size(size) ? size.get<uint64_t>() : UINT64_MAX;
    if (dim > static_cast<uint64_t>(INT64_MAX) ||
        __builtin_mul_overflow(tensor.n_elements, static_cast<int64_t>(std::max<uint64_t>(dim, 1)),
                               &tensor.n_elements)) {
      return invalid(tensor.path,
                     "tensor " + in_quotes(tensor.name) + " has a shape that cannot be: " + printable(sizes.dump()));
    }
    empty = empty || dim == 0;
    dims.push_back(static_cast<int64_t>(dim));
  }
  if (empty) tensor.n_elements = 0;
  if (empty) tensor.refusal = "a tensor without elements cannot be used";
  if (dims.size() <= static_cast<size_t>(Shape::kMaxRank)) {
    tensor.shape = Shape(std::span<const int64_t>(dims));
  } else {
    tensor.refusal = "a tensor of " + std::to_string(dims.size()) + " dimensions is not supported";
  }
  return {};
}

// One tensor from its entry in the header; `offset` counts from the start of the data.
Result<StoredTensor> parse_entry(const std::string& name, const nlohmann::json& entry, std::string_view path) {
  StoredTensor tensor;
  tensor.name = name;
  tensor.path = path;
  const std::string what = "tensor " + in_quotes(name);
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
      !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].size() != 2 || !is_size(entry["data_offsets"][0]) || !is_size(entry["data_offsets"][1])) {
    return invalid(path, what + " lacks a proper dtype, shape or data_offsets");
  }
  const SafetensorsType* type = find_type(entry["dtype"].get_ref<const std::string&>());
  if (type == nullptr) {
    return invalid(path, what + " has an unknown dtype, " + in_quotes(entry["dtype"].get_ref<const std::string&>()));
  }
  tensor.type_name = type->name;
  tensor.dtype = type->dtype;
  ORRERY_RETURN_IF_ERROR(set_shape(entry["shape"], tensor));
  if (!type->dtype) tensor.refusal = "dtype " + std::string(type->name) + " cannot be computed on yet";
  uint64_t bits = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(tensor.n_elements), uint64_t{type->bits}, &bits) || bits % 8 != 0) {
    return invalid(path, what + " has a size that cannot be: " + tensor.shape.to_string());
  }
  tensor.n_bytes = bits / 8;
  tensor.offset = entry["data_offsets"][0].get<uint64_t>();
  const uint64_t end = entry["data_offsets"][1].get<uint64_t>();
  if (end < tensor.offset || end - tensor.offset != tensor.n_bytes) {
    return invalid(path, what + " of shape " + tensor.shape.to_string() + " and dtype " + std::string(type->name) +
                             " should take " + std::to_string(tensor.n_bytes) + " bytes, but its data_offsets are " +
                             printable(entry["data_offsets"].dump()));
  }
  return tensor;
}

// The tensors must follow one another and end with the file, as in the reference reader.
Result<void> check_layout(std::span<const StoredTensor> tensors, uint64_t data_size, const std::string& path) {
  uint64_t end = 0;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.offset != end) {
      return invalid(path, "tensor " + in_quotes(tensor.name) + " leaves a hole or overlaps another at data offset " +
                               std::to_string(tensor.offset));
    }
    if (tensor.n_bytes > data_size - end) {
      return invalid(path, "tensor " + in_quotes(tensor.name) +
                               " reaches beyond the end of the file: " + std::to_string(data_size) + " bytes of data");
    }
    end += tensor.n_bytes;
  }
  if (end != data_size) {
    return invalid(path, "bytes that belong to no tensor follow the last one: " + std::to_string(data_size - end));
  }
  return {};
}

}  // namespace

SafetensorsFile::SafetensorsFile(MappedFile file)
    : file_(std::move(file)), path_(std::make_unique<const std::string>(file_.path())) {}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  ORRERY_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
  SafetensorsFile file(std::move(mapped));
  const std::span<const std::byte> bytes = file.file_.bytes();
  uint64_t header_size = 0;
  if (bytes.size() < sizeof header_size) return invalid(file.path(), "it has fewer than 8 bytes");
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  if (header_size > kMaxHeaderBytes || header_size > bytes.size() - sizeof header_size) {
    return invalid(file.path(), "its header cannot be that long: " + std::to_string(header_size));
  }
  const std::string_view header = file.file_.text().substr(sizeof header_size, header_size);
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json entries, parse_json_object(header, kMaxHeaderBytes, file.path()));
  for (const auto& [name, entry] : entries.items()) {
    if (name == "__metadata__") continue;
    ORRERY_ASSIGN_OR_RETURN(StoredTensor tensor, parse_entry(name, entry, file.path()));
    file.tensors_.push_back(std::move(tensor));
  }
  std::stable_sort(file.tensors_.begin(), file.tensors_.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.n_bytes < b.n_bytes;  // an empty one before its neighbour
  });
  const uint64_t data_start = sizeof header_size + header_size;
  ORRERY_RETURN_IF_ERROR(check_layout(file.tensors_, bytes.size() - data_start, file.path()));
  for (StoredTensor& tensor : file.tensors_) {
    tensor.offset += data_start;
    tensor.data = bytes.data() + tensor.offset;
    ORRERY_RETURN_IF_ERROR(file.align(tensor));
  }
  return file;
}

Result<void> SafetensorsFile::align(StoredTensor& tensor) {
  if (!tensor.dtype || tensor.shape.rank() > 1) return {};
  if (reinterpret_cast<uintptr_t>(tensor.data) % element_alignment(*tensor.dtype) == 0) return {};
  std::unique_ptr<std::byte[]> copy(new (std::nothrow) std::byte[tensor.n_bytes]);
  if (copy == nullptr) {
    return Error{ErrorCode::kOutOfMemory, path() + ": not enough memory for the " + std::to_string(tensor.n_bytes) +
                                              " bytes of tensor " + in_quotes(tensor.name)};
  }
  std::memcpy(copy.get(), tensor.data, tensor.n_bytes);
  tensor.data = copy.get();
  aligned_copies_.push_back(std::move(copy));
  return {};
}

}  // namespace orrery
