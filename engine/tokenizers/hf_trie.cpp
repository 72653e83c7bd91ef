#include "engine/tokenizers/hf_trie.h"

#include <algorithm>

namespace orrery {

// Level by level: a node is a range of the sorted spellings that share its bytes.
HfTrie::HfTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  struct Range {
    size_t begin, end;
  };
  std::vector<Range> level = {{0, entries.size()}};
  std::vector<Range> next;
  nodes_.emplace_back();
  size_t first_of_level = 0;
  for (size_t depth = 0; !level.empty(); ++depth) {
    next.clear();
    const size_t first_of_next = nodes_.size();
    for (size_t i = 0; i < level.size(); ++i) {
      size_t at = level[i].begin;
      for (; at < level[i].end && entries[at].first.size() == depth; ++at) {
        nodes_[first_of_level + i].value = entries[at].second;
      }
      nodes_[first_of_level + i].first_child = static_cast<uint32_t>(nodes_.size());
      while (at < level[i].end) {
        const auto label = static_cast<uint8_t>(entries[at].first[depth]);
        const size_t begin = at;
        while (at < level[i].end && static_cast<uint8_t>(entries[at].first[depth]) == label) ++at;
        next.push_back({begin, at});
        nodes_.push_back({.label = label});
        ++nodes_[first_of_level + i].n_children;
      }
    }
    first_of_level = first_of_next;
    level.swap(next);
  }
}

uint32_t HfTrie::child(uint32_t node, uint8_t byte) const {
  if (nodes_.empty()) return 0;
  const auto begin = nodes_.begin() + nodes_[node].first_child;
  const auto end = begin + nodes_[node].n_children;
  const auto found = std::lower_bound(begin, end, byte, [](const Node& n, uint8_t b) { return n.label < b; });
  return found == end || found->label != byte ? 0 : static_cast<uint32_t>(found - nodes_.begin());
}

uint32_t HfTrie::walk(uint32_t node, std::string_view bytes) const {
  for (const char c : bytes) {
    node = child(node, static_cast<uint8_t>(c));
    if (node == 0) return 0;
  }
  return node;
}

}  // namespace orrery
