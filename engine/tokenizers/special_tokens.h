// SpecialTokens: finds tokens that are spelled out in a text ("<|im_end|>") before the text is cut into words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace orrery {

// A trie of spellings. Built by add(), then immutable; find_next() is safe from any thread.
class SpecialTokens {
 public:
  // Longer spellings are not looked for, so that a search costs at most this many steps a byte.
  static constexpr size_t kMaxLength = 512;

  struct Match {
    size_t begin = 0;
    size_t length = 0;
    int32_t id = 0;
  };

  // The first of two ids with the same spelling stays. Empty spellings are left out.
  void add(std::string_view spelling, int32_t id);

  // The leftmost spelling at or after `from`, the longest where several begin there.
  std::optional<Match> find_next(std::string_view text, size_t from) const;

 private:
  static constexpr int32_t kNone = -1;
  uint32_t child(uint32_t node, uint8_t byte) const;  // 0 where there is none

  std::array<uint32_t, 256> first_{};             // children of the root, 0: none
  std::unordered_map<uint64_t, uint32_t> edges_;  // node << 8 | byte -> node
  std::vector<int32_t> ids_{kNone};               // by node; node 0 is the root
};

}  // namespace orrery
