// ByteTrie: strings by their first bytes: all that begin at a place of a text are found in one walk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace orrery {

// Immutable once made; safe from any thread.
class ByteTrie {
 public:
  static constexpr uint32_t kRoot = 0;

  struct Entry {
    std::string_view text;  // read during construction only
    int32_t value;          // >= 0; of equal texts the last one's stays
  };
  explicit ByteTrie(std::vector<Entry> entries);

  // The node that `byte` leads to; kRoot where there is none.
  uint32_t child(uint32_t node, char byte) const;
  // Of the string that ends at `node`.
  std::optional<int32_t> value(uint32_t node) const {
    return nodes_[node].value < 0 ? std::nullopt : std::optional<int32_t>(nodes_[node].value);
  }

 private:
  struct Node {
    uint32_t first_child = 0;  // children are neighbours, in the order of their bytes
    uint16_t n_children = 0;
    uint8_t byte = 0;  // that leads here
    int32_t value = -1;
  };
  std::vector<Node> nodes_;
};

}  // namespace orrery
