// HfTrie: spellings by their bytes, for finding all of them that a text begins with.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace orrery {

// Immutable; safe from any thread.
class HfTrie {
 public:
  static constexpr int32_t kNone = -1;

  HfTrie() = default;
  // (spelling, value ≥ 0), in any order; of two that are equal the last counts. Takes O(total bytes) nodes.
  explicit HfTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  // A place in the trie: the root is 0.
  uint32_t child(uint32_t node, uint8_t byte) const;  // 0 where there is none
  int32_t value(uint32_t node) const { return nodes_.empty() ? kNone : nodes_[node].value; }
  uint32_t walk(uint32_t node, std::string_view bytes) const;  // 0 where it breaks off

 private:
  struct Node {
    uint32_t first_child = 0;  // children follow one another, by label
    uint16_t n_children = 0;
    uint8_t label = 0;
    int32_t value = kNone;
  };
  std::vector<Node> nodes_;
};

}  // namespace orrery
