#include "engine/tokenizers/double_array.h"

namespace orrery {

uint32_t read_little_endian_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

DoubleArray::DoubleArray(std::string_view bytes) : entries_(bytes.size() / 4) {
  for (size_t i = 0; i < entries_.size(); ++i) entries_[i] = read_little_endian_u32(bytes, 4 * i);
}

}  // namespace orrery
