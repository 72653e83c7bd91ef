#include "engine/tokenizers/charsmap.h"

namespace orrery {

Result<Charsmap> Charsmap::make(std::string_view bytes) {
  constexpr size_t kHeader = 4;
  const size_t array_bytes = bytes.size() < kHeader ? 0 : read_little_endian_u32(bytes, 0);
  if (bytes.size() < kHeader || array_bytes >= bytes.size() - kHeader) {
    return Error{ErrorCode::kInvalidFile,
                 "the precompiled charsmap is longer than its bytes, which are " + std::to_string(bytes.size())};
  }
  Charsmap map;
  map.trie_ = DoubleArray(bytes.substr(kHeader, array_bytes));
  map.replacements_ = bytes.substr(kHeader + array_bytes);
  return map;
}

std::optional<Charsmap::Match> Charsmap::find(std::string_view text, size_t offset) const {
  std::optional<Match> longest;
  trie_.for_each_prefix(text, offset, [&](size_t length, size_t begin) {
    const size_t end = begin < replacements_.size() ? replacements_.find('\0', begin) : std::string::npos;
    if (end == std::string::npos) return false;
    longest = Match{length, std::string_view(replacements_).substr(begin, end - begin)};
    return true;
  });
  return longest;
}

}  // namespace orrery
