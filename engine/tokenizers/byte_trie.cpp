#include "engine/tokenizers/byte_trie.h"

#include <algorithm>

namespace orrery {

// Breadth first over the sorted entries: a node is a range of them with `depth` bytes in common.
ByteTrie::ByteTrie(std::vector<Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, entries.size(), 0}};
  nodes_.resize(1);
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    while (begin < end && entries[begin].text.size() == depth) nodes_[node].value = entries[begin++].value;
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = entries[begin].text[depth];
      size_t same = begin + 1;
      while (same < end && entries[same].text[depth] == byte) ++same;
      ranges.push_back({begin, same, depth + 1});
      nodes_.push_back({.byte = static_cast<uint8_t>(byte)});
      ++nodes_[node].n_children;
      begin = same;
    }
  }
  nodes_.shrink_to_fit();
}

uint32_t ByteTrie::child(uint32_t node, char byte) const {
  const auto wanted = static_cast<uint8_t>(byte);
  const auto first = nodes_.begin() + nodes_[node].first_child;
  const auto last = first + nodes_[node].n_children;
  const auto found =
      std::lower_bound(first, last, wanted, [](const Node& at, uint8_t value) { return at.byte < value; });
  return found == last || found->byte != wanted ? kRoot : static_cast<uint32_t>(found - nodes_.begin());
}

}  // namespace orrery
