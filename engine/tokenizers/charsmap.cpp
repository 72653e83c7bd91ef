#include "engine/tokenizers/charsmap.h"

namespace orrery {
namespace {

constexpr uint32_t kHoldsValue = 1u << 31;

uint32_t offset_of(uint32_t entry) { return (entry >> 10) << ((entry & (1u << 9)) >> 6); }

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

}  // namespace

Result<Charsmap> Charsmap::make(std::string_view bytes) {
  constexpr size_t kHeader = 4;
  const size_t array_bytes = bytes.size() < kHeader ? 0 : read_u32(bytes, 0);
  if (bytes.size() < kHeader || array_bytes >= bytes.size() - kHeader) {
    return Error{ErrorCode::kInvalidFile,
                 "the precompiled charsmap is longer than its bytes, which are " + std::to_string(bytes.size())};
  }
  Charsmap map;
  map.entries_.resize(array_bytes / 4);
  for (size_t i = 0; i < map.entries_.size(); ++i) map.entries_[i] = read_u32(bytes, kHeader + 4 * i);
  map.replacements_ = bytes.substr(kHeader + array_bytes);
  return map;
}

std::optional<Charsmap::Match> Charsmap::find(std::string_view text, size_t offset) const {
  if (entries_.empty()) return std::nullopt;
  std::optional<Match> longest;
  uint32_t node = offset_of(entries_[0]);
  for (size_t at = offset; at < text.size(); ++at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    node ^= byte;
    if (byte == 0 || node >= entries_.size() || (entries_[node] & (kHoldsValue | 0xff)) != byte) break;
    const bool has_value = (entries_[node] >> 8 & 1) != 0;
    node ^= offset_of(entries_[node]);
    if (!has_value) continue;
    if (node >= entries_.size()) break;
    const size_t begin = entries_[node] & ~kHoldsValue;
    const size_t end = begin < replacements_.size() ? replacements_.find('\0', begin) : std::string::npos;
    if (end == std::string::npos) break;
    longest = Match{at - offset + 1, std::string_view(replacements_).substr(begin, end - begin)};
  }
  return longest;
}

}  // namespace orrery
