// GgufValue: typed reading of metadata in place.
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/formats/gguf.h"
#include "engine/formats/quoted.h"

namespace orrery {
namespace {

template <typename T>
T load(std::span<const std::byte> bytes, uint64_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

std::string number_text(double value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, result.ptr};
}

// Number i as an unsigned or signed integer: value and sign told apart, as u64 does not fit i64.
struct Integer {
  uint64_t magnitude_or_bits;
  bool is_signed;
};

std::optional<Integer> integer_at(GgufType type, std::span<const std::byte> bytes, uint64_t i) {
  const auto of_signed = [](int64_t value) { return Integer{static_cast<uint64_t>(value), true}; };
  switch (type) {
    case GgufType::kU8:
      return Integer{load<uint8_t>(bytes, i), false};
    case GgufType::kU16:
      return Integer{load<uint16_t>(bytes, i), false};
    case GgufType::kU32:
      return Integer{load<uint32_t>(bytes, i), false};
    case GgufType::kU64:
      return Integer{load<uint64_t>(bytes, i), false};
    case GgufType::kI8:
      return of_signed(load<int8_t>(bytes, i));
    case GgufType::kI16:
      return of_signed(load<int16_t>(bytes, i));
    case GgufType::kI32:
      return of_signed(load<int32_t>(bytes, i));
    case GgufType::kI64:
      return of_signed(load<int64_t>(bytes, i));
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  static constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(type)];
}

std::optional<uint64_t> GgufValue::as_u64() const {
  if (is_array()) return std::nullopt;
  const auto integer = integer_at(type_, packed_, 0);
  if (!integer || (integer->is_signed && static_cast<int64_t>(integer->magnitude_or_bits) < 0)) return std::nullopt;
  return integer->magnitude_or_bits;
}

std::optional<int64_t> GgufValue::as_i64() const {
  return is_array() || type_ == GgufType::kBool ? std::nullopt : int_at(0);
}

std::optional<double> GgufValue::as_f64() const {
  return is_array() || type_ == GgufType::kBool ? std::nullopt : number_at(0);
}

std::optional<bool> GgufValue::as_bool() const {
  if (type_ != GgufType::kBool) return std::nullopt;
  return load<uint8_t>(packed_, 0) != 0;
}

std::optional<std::string_view> GgufValue::as_string() const {
  if (type_ != GgufType::kString) return std::nullopt;
  return string_;
}

std::optional<std::span<const std::string_view>> GgufValue::as_strings() const {
  if (!is_array() || element_type_ != GgufType::kString) return std::nullopt;
  return strings_;
}

std::optional<int64_t> GgufValue::int_at(uint64_t i) const {
  if (i >= count_) return std::nullopt;
  if (element_type_ == GgufType::kBool) return load<uint8_t>(packed_, i) != 0 ? 1 : 0;
  const auto integer = integer_at(element_type_, packed_, i);
  if (!integer) return std::nullopt;
  const uint64_t bits = integer->magnitude_or_bits;
  if (!integer->is_signed && bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return static_cast<int64_t>(bits);
}

std::optional<double> GgufValue::number_at(uint64_t i) const {
  if (i >= count_) return std::nullopt;
  if (element_type_ == GgufType::kF32) return load<float>(packed_, i);
  if (element_type_ == GgufType::kF64) return load<double>(packed_, i);
  const auto integer = integer_at(element_type_, packed_, i);
  if (!integer) return std::nullopt;
  const uint64_t bits = integer->magnitude_or_bits;
  return integer->is_signed ? static_cast<double>(static_cast<int64_t>(bits)) : static_cast<double>(bits);
}

std::string GgufValue::to_string(size_t max_chars) const {
  const auto element = [&](uint64_t i) -> std::string {
    switch (element_type_) {
      case GgufType::kString:
        return in_quotes(is_array() ? strings_[i] : string_, max_chars);
      case GgufType::kBool:
        return load<uint8_t>(packed_, i) != 0 ? "true" : "false";
      // f32 by its own shortest form: 0.00001, not 0.000009999999747378752.
      case GgufType::kF32: {
        char buffer[32];
        return {buffer, std::to_chars(buffer, buffer + sizeof buffer, load<float>(packed_, i)).ptr};
      }
      case GgufType::kF64:
        return number_text(load<double>(packed_, i));
      case GgufType::kU64:
        return std::to_string(load<uint64_t>(packed_, i));
      default:
        return std::to_string(int_at(i).value_or(0));
    }
  };
  if (!is_array()) return element_type_ == GgufType::kString ? printable(string_, max_chars) : element(0);
  std::string text = "[";
  for (uint64_t i = 0; i < count_; ++i) {
    if (i > 0) text += ", ";
    if (text.size() > max_chars) {
      text += "…";
      break;
    }
    text += element(i);
  }
  return text + "] (" + std::to_string(count_) + " × " + std::string(gguf_type_name(element_type_)) + ")";
}

}  // namespace orrery
