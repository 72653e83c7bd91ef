// Reads the .npy files of assets/goldens and of `export --out F.npy` in tests: format 1 to 3, C order, little endian,
// float32, int32, int64 or uint8. For test programs only; the program itself writes .npy by its own code.
#pragma once

#include <cctype>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace orrery::testing {

template <typename T>
struct NpyArray {
  std::vector<size_t> shape;  // outermost dimension first; empty for a scalar
  std::vector<T> values;      // product of shape, C order

  // Element at an index of as many numbers as there are dimensions; throws std::out_of_range outside.
  template <typename... Index>
  const T& at(Index... index) const {
    const size_t indices[] = {static_cast<size_t>(index)...};
    if (sizeof...(index) != shape.size()) throw std::out_of_range("npy: wrong number of indices");
    size_t flat = 0;
    for (size_t i = 0; i < sizeof...(index); ++i) {
      if (indices[i] >= shape[i]) throw std::out_of_range("npy: index " + std::to_string(i) + " outside its axis");
      flat = flat * shape[i] + indices[i];
    }
    return values.at(flat);
  }
};

namespace npy_detail {

template <typename T>
const char* descr() {
  if constexpr (std::is_same_v<T, float>) return "<f4";
  if constexpr (std::is_same_v<T, int32_t>) return "<i4";
  if constexpr (std::is_same_v<T, int64_t>) return "<i8";
  if constexpr (std::is_same_v<T, uint8_t>) return "|u1";
}

// Text after `'key':` in the header's Python dict.
inline std::string after_key(const std::string& header, const std::string& key) {
  size_t at = header.find("'" + key + "'");
  if (at == std::string::npos) throw std::runtime_error("npy: header without " + key);
  at = header.find(':', at);
  if (at == std::string::npos) throw std::runtime_error("npy: header without a value of " + key);
  return header.substr(header.find_first_not_of(' ', at + 1));
}

inline std::vector<size_t> parse_shape(const std::string& text) {
  std::vector<size_t> shape;
  const size_t end = text.find(')');
  if (text.empty() || text[0] != '(' || end == std::string::npos) throw std::runtime_error("npy: shape is no tuple");
  for (size_t i = 1; i < end;) {
    if (std::isdigit(static_cast<unsigned char>(text[i])) == 0) {
      ++i;
      continue;
    }
    size_t used = 0;
    shape.push_back(std::stoull(text.substr(i), &used));
    i += used;
  }
  return shape;
}

}  // namespace npy_detail

// Reads a whole file whose dtype must be T; throws std::runtime_error with the path otherwise.
template <typename T>
NpyArray<T> read_npy(const std::filesystem::path& path) {
  try {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error("npy: cannot be opened");
    const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0) throw std::runtime_error("npy: wrong magic");
    const auto byte = [&bytes](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(bytes.at(i))); };
    const bool wide = byte(6) >= 2;  // versions 2 and 3 have a four-byte header length
    const size_t begin = wide ? 12 : 10;
    const size_t length = byte(8) + (byte(9) << 8) + (wide ? (byte(10) << 16) + (byte(11) << 24) : 0);
    if (length > bytes.size() || begin + length > bytes.size()) throw std::runtime_error("npy: truncated header");
    const std::string header = bytes.substr(begin, length);
    const std::string expected = npy_detail::descr<T>();
    if (npy_detail::after_key(header, "descr").substr(1, 3) != expected) {
      throw std::runtime_error("npy: dtype is not " + expected);
    }
    if (npy_detail::after_key(header, "fortran_order").compare(0, 5, "False") != 0) {
      throw std::runtime_error("npy: Fortran order");
    }
    NpyArray<T> array{npy_detail::parse_shape(npy_detail::after_key(header, "shape")), {}};
    size_t count = 1;
    for (const size_t n : array.shape) count *= n;
    if (bytes.size() - begin - length != count * sizeof(T))
      throw std::runtime_error("npy: size does not fit its shape");
    array.values.resize(count);
    if (count > 0) std::memcpy(array.values.data(), bytes.data() + begin + length, count * sizeof(T));
    return array;
  } catch (const std::exception& error) {
    throw std::runtime_error(path.string() + ": " + error.what());
  }
}

}  // namespace orrery::testing
