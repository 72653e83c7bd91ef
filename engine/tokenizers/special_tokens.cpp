#include "engine/tokenizers/special_tokens.h"

namespace orrery {

uint32_t SpecialTokens::child(uint32_t node, uint8_t byte) const {
  if (node == 0) return first_[byte];
  const auto found = edges_.find(uint64_t{node} << 8 | byte);
  return found == edges_.end() ? 0 : found->second;
}

void SpecialTokens::add(std::string_view spelling, int32_t id) {
  if (spelling.empty() || spelling.size() > kMaxLength) return;
  uint32_t node = 0;
  for (const char c : spelling) {
    const auto byte = static_cast<uint8_t>(c);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(ids_.size());
      ids_.push_back(kNone);
      if (node == 0) {
        first_[byte] = next;
      } else {
        edges_.emplace(uint64_t{node} << 8 | byte, next);
      }
    }
    node = next;
  }
  if (ids_[node] == kNone) ids_[node] = id;
}

std::optional<SpecialTokens::Match> SpecialTokens::find_next(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    std::optional<Match> longest;
    uint32_t node = first_[static_cast<uint8_t>(text[begin])];
    for (size_t end = begin + 1; node != 0; ++end) {
      if (ids_[node] != kNone) longest = Match{begin, end - begin, ids_[node]};
      if (end == text.size()) break;
      node = child(node, static_cast<uint8_t>(text[end]));
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace orrery
