#include "engine/formats/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "engine/formats/quoted.h"

namespace orrery {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place: little-endian machines only");

constexpr uint64_t kMaxKeyLength = 65535;  // as the format says
constexpr uint64_t kMaxTensorNameLength = 1024;
constexpr uint64_t kMaxAlignment = 1u << 20;
constexpr uint64_t kDefaultAlignment = 32;
// Far beyond any model, and few enough for memory.
constexpr uint64_t kMostEntries = 1u << 20;  // of metadata, of tensors
constexpr uint64_t kMostStrings = 1u << 24;  // in all arrays together

// Bytes of a scalar; 0 for strings and arrays.
size_t scalar_size(GgufType type) {
  static constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<size_t>(type)];
}

}  // namespace

const GgufValue* GgufPart::find(std::string_view key) const {
  const auto found = metadata_index.find(key);
  return found == metadata_index.end() ? nullptr : &metadata[found->second].value;
}

Result<uint64_t> GgufPart::get_u64(std::string_view key, uint64_t fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback;
  if (const std::optional<uint64_t> number = value->as_u64()) return *number;
  return Error{ErrorCode::kInvalidFile, path() + ": the metadata key " + in_quotes(key) +
                                            " should be a whole number from 0, but is " + value->to_string()};
}

Result<std::unique_ptr<GgufPart>> GgufParser::open(const std::filesystem::path& path) {
  ORRERY_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
  auto part = std::make_unique<GgufPart>(std::move(mapped));
  ORRERY_RETURN_IF_ERROR(GgufParser(*part).parse());
  return part;
}

Error GgufParser::invalid(const std::string& why) const {
  return Error{ErrorCode::kInvalidFile, part_.path() + " is not a valid GGUF file: " + why};
}

Error GgufParser::truncated(std::string_view what) const {
  return invalid("it ends within " + std::string(what) + ", after " + std::to_string(part_.file.size()) + " bytes");
}

Result<std::string_view> GgufParser::read_string(std::string_view what, uint64_t max_length) {
  ORRERY_ASSIGN_OR_RETURN(const uint64_t length, read<uint64_t>(what));
  if (length > rest_.size()) return truncated(what);
  if (length > max_length) return invalid(std::string(what) + " has a length of " + std::to_string(length));
  const std::string_view text(reinterpret_cast<const char*>(rest_.data()), length);
  rest_ = rest_.subspan(length);
  return text;
}

Result<GgufType> GgufParser::read_type(std::string_view key) {
  ORRERY_ASSIGN_OR_RETURN(const uint32_t type, read<uint32_t>("a metadata value"));
  if (type > static_cast<uint32_t>(GgufType::kF64)) {
    return invalid("the metadata key " + in_quotes(key) + " has an unknown type, " + std::to_string(type));
  }
  return static_cast<GgufType>(type);
}

Result<void> GgufParser::parse() {
  ORRERY_RETURN_IF_ERROR(parse_version());
  ORRERY_ASSIGN_OR_RETURN(const uint64_t n_tensors, read<uint64_t>("the header"));
  ORRERY_ASSIGN_OR_RETURN(const uint64_t n_metadata, read<uint64_t>("the header"));
  ORRERY_RETURN_IF_ERROR(parse_metadata(n_metadata));
  ORRERY_RETURN_IF_ERROR(parse_tensor_infos(n_tensors));
  ORRERY_RETURN_IF_ERROR(place_tensors());
  return check_no_overlap();
}

Result<void> GgufParser::parse_version() {
  const std::string_view start = part_.file.text().substr(0, 4);
  if (start != "GGUF") {
    return Error{ErrorCode::kInvalidFile, part_.path() + " is not a GGUF file: it starts with " + in_quotes(start)};
  }
  rest_ = rest_.subspan(4);
  ORRERY_ASSIGN_OR_RETURN(part_.version, read<uint32_t>("the header"));
  if (part_.version == 2 || part_.version == 3) return {};
  const uint32_t swapped = __builtin_bswap32(part_.version);
  if (swapped >= 1 && swapped <= 255) {
    return Error{
        ErrorCode::kUnsupported,
        part_.path() + " is a big-endian GGUF file, which is not supported: version " + std::to_string(swapped)};
  }
  return Error{ErrorCode::kUnsupported, part_.path() +
                                            " has a GGUF version that is not supported (2 and 3 are): version " +
                                            std::to_string(part_.version)};
}

Result<void> GgufParser::parse_metadata(uint64_t count) {
  constexpr uint64_t kSmallestEntry = 8 + 1 + 4 + 1;
  if (count > rest_.size() / kSmallestEntry) {
    return invalid("the file is too small for its number of metadata entries, " + std::to_string(count));
  }
  if (count > kMostEntries) return invalid("it has too many metadata entries, " + std::to_string(count));
  for (uint64_t i = 0; i < count; ++i) {
    ORRERY_ASSIGN_OR_RETURN(const std::string_view key, read_string("a metadata key", kMaxKeyLength));
    if (key.empty()) return invalid("metadata entry " + std::to_string(i) + " has an empty key");
    ORRERY_ASSIGN_OR_RETURN(const GgufValue value, parse_value(key));
    if (!part_.metadata_index.emplace(key, part_.metadata.size()).second) {
      return invalid("the metadata key " + in_quotes(key) + " occurs twice");
    }
    part_.metadata.push_back({key, value});
  }
  return {};
}

Result<GgufValue> GgufParser::parse_value(std::string_view key) {
  GgufValue value;
  ORRERY_ASSIGN_OR_RETURN(value.type_, read_type(key));
  value.element_type_ = value.type_;
  if (value.type_ == GgufType::kArray) {
    ORRERY_RETURN_IF_ERROR(parse_array(key, value));
    return value;
  }
  const std::string what = "the metadata value of " + in_quotes(key);
  if (value.type_ == GgufType::kString) {
    ORRERY_ASSIGN_OR_RETURN(value.string_, read_string(what, std::numeric_limits<uint64_t>::max()));
    return value;
  }
  const size_t size = scalar_size(value.type_);
  if (rest_.size() < size) return truncated(what);
  value.packed_ = rest_.first(size);
  rest_ = rest_.subspan(size);
  if (value.type_ == GgufType::kBool && value.packed_[0] > std::byte{1}) {
    return invalid("the metadata key " + in_quotes(key) + " is neither true nor false");
  }
  return value;
}

Result<void> GgufParser::parse_array(std::string_view key, GgufValue& value) {
  ORRERY_ASSIGN_OR_RETURN(value.element_type_, read_type(key));
  if (value.element_type_ == GgufType::kArray) {
    return invalid("the metadata key " + in_quotes(key) + " is an array of arrays, which is not supported");
  }
  const std::string what = "the metadata array " + in_quotes(key);
  ORRERY_ASSIGN_OR_RETURN(value.count_, read<uint64_t>(what));
  const bool of_strings = value.element_type_ == GgufType::kString;
  const size_t smallest = of_strings ? sizeof(uint64_t) : scalar_size(value.element_type_);
  if (value.count_ > rest_.size() / smallest) {
    return invalid("the file is too small for the " + std::to_string(value.count_) + " elements of " + what);
  }
  if (of_strings) return parse_strings(what, value);
  value.packed_ = rest_.first(value.count_ * smallest);
  rest_ = rest_.subspan(value.packed_.size());
  return {};
}

Result<void> GgufParser::parse_strings(const std::string& what, GgufValue& value) {
  if (value.count_ > kMostStrings - n_strings_) {
    return invalid("its arrays of strings are too long, with " + what + " of " + std::to_string(value.count_));
  }
  n_strings_ += value.count_;
  std::vector<std::string_view>& strings = part_.string_arrays.emplace_back();
  for (uint64_t i = 0; i < value.count_; ++i) {
    ORRERY_ASSIGN_OR_RETURN(const std::string_view text, read_string(what, std::numeric_limits<uint64_t>::max()));
    strings.push_back(text);
  }
  value.strings_ = strings;
  return {};
}

Result<void> GgufParser::parse_tensor_infos(uint64_t count) {
  constexpr uint64_t kSmallestInfo = 8 + 1 + 4 + 4 + 8;
  if (count > rest_.size() / kSmallestInfo) {
    return invalid("the file is too small for its number of tensors, " + std::to_string(count));
  }
  if (count > kMostEntries) return invalid("it has too many tensors, " + std::to_string(count));
  for (uint64_t i = 0; i < count; ++i) {
    ORRERY_ASSIGN_OR_RETURN(StoredTensor tensor, parse_tensor_info());
    part_.tensors.push_back(std::move(tensor));
  }
  return {};
}

Result<StoredTensor> GgufParser::parse_tensor_info() {
  StoredTensor tensor;
  tensor.path = part_.path();
  ORRERY_ASSIGN_OR_RETURN(const std::string_view name, read_string("a tensor's name", kMaxTensorNameLength));
  if (name.empty()) return invalid("a tensor has an empty name");
  tensor.name = name;
  const std::string what = "the description of tensor " + in_quotes(name);
  ORRERY_ASSIGN_OR_RETURN(const uint32_t rank, read<uint32_t>(what));
  if (rank > static_cast<uint32_t>(Shape::kMaxRank)) {
    return invalid("tensor " + in_quotes(name) + " has more than 4 dimensions: " + std::to_string(rank));
  }
  std::array<int64_t, Shape::kMaxRank> dims{};
  tensor.n_elements = 1;
  for (uint32_t axis = 0; axis < rank; ++axis) {
    ORRERY_ASSIGN_OR_RETURN(const int64_t dim, read<int64_t>(what));
    if (dim <= 0 || __builtin_mul_overflow(tensor.n_elements, dim, &tensor.n_elements)) {
      return invalid("tensor " + in_quotes(name) +
                     " has a dimension that cannot be: " + std::to_string(static_cast<uint64_t>(dim)));
    }
    dims[rank - 1 - axis] = dim;  // the file lists the innermost first
  }
  tensor.shape = Shape(std::span<const int64_t>(dims).first(rank));
  ORRERY_ASSIGN_OR_RETURN(const uint32_t type_id, read<uint32_t>(what));
  ORRERY_RETURN_IF_ERROR(set_type(type_id, tensor));
  ORRERY_ASSIGN_OR_RETURN(tensor.offset, read<uint64_t>(what));
  return tensor;
}

Result<void> GgufParser::set_type(uint32_t type_id, StoredTensor& tensor) {
  const GgmlType* type = find_ggml_type(type_id);
  if (type == nullptr) {
    return invalid("tensor " + in_quotes(tensor.name) + " has an unknown type, " + std::to_string(type_id));
  }
  tensor.type_name = type->name;
  tensor.dtype = type->dtype;
  if (!type->dtype) tensor.refusal = "type " + std::string(type->name) + " cannot be computed on yet";
  const int64_t row = tensor.shape.rank() == 0 ? 1 : tensor.shape[tensor.shape.rank() - 1];
  if (row % type->block_size != 0) {
    return invalid("tensor " + in_quotes(tensor.name) + " has rows that are no whole number of " +
                   std::string(type->name) + " blocks: " + std::to_string(row));
  }
  const uint64_t n_blocks = static_cast<uint64_t>(tensor.n_elements) / type->block_size;
  if (__builtin_mul_overflow(n_blocks, uint64_t{type->block_bytes}, &tensor.n_bytes)) {
    return invalid("tensor " + in_quotes(tensor.name) + " is larger than any file: " + tensor.shape.to_string());
  }
  return {};
}

Result<uint64_t> GgufParser::alignment() {
  ORRERY_ASSIGN_OR_RETURN(const uint64_t alignment, part_.get_u64("general.alignment", kDefaultAlignment));
  if (!std::has_single_bit(alignment) || alignment < 8 || alignment > kMaxAlignment) {
    return invalid("general.alignment must be a power of two from 8: " + std::to_string(alignment));
  }
  return alignment;
}

// Turns offsets from the start of the data into offsets from the start of the file.
Result<void> GgufParser::place_tensors() {
  ORRERY_ASSIGN_OR_RETURN(const uint64_t alignment, this->alignment());
  if (part_.tensors.empty()) return {};
  const uint64_t file_size = part_.file.size();
  const uint64_t header_size = file_size - rest_.size();
  const uint64_t data_start = (header_size + alignment - 1) / alignment * alignment;  // header_size + 1 MiB fits
  if (data_start > file_size) return truncated("the padding before the tensors");
  for (StoredTensor& tensor : part_.tensors) {
    const uint64_t data_size = file_size - data_start;
    if (tensor.offset % alignment != 0) {
      return invalid("tensor " + in_quotes(tensor.name) +
                     " lies at an offset that is not aligned: " + std::to_string(tensor.offset));
    }
    if (tensor.offset > data_size || tensor.n_bytes > data_size - tensor.offset) {
      return invalid("tensor " + in_quotes(tensor.name) + " reaches beyond the end of the file: offset " +
                     std::to_string(tensor.offset) + ", " + std::to_string(tensor.n_bytes) + " bytes of " +
                     std::to_string(data_size));
    }
    tensor.offset += data_start;
    tensor.data = part_.file.bytes().data() + tensor.offset;
  }
  return {};
}

Result<void> GgufParser::check_no_overlap() {
  std::vector<size_t> order(part_.tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return part_.tensors[a].offset < part_.tensors[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const StoredTensor& before = part_.tensors[order[i - 1]];
    const StoredTensor& after = part_.tensors[order[i]];
    if (before.offset + before.n_bytes > after.offset) {
      return invalid("the tensors " + in_quotes(before.name) + " and " + in_quotes(after.name) + " overlap");
    }
  }
  return {};
}

}  // namespace orrery
