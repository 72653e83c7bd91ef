// DoubleArray: the trie of SentencePiece's precompiled charsmaps, an XOR-compressed double array (Kanda 2018).
//
// Entries of u32, little endian: bits 0-7 the byte that leads here (with bit 31 for an entry that holds a value), bit 8
// whether a value hangs here, bits 10-30 an offset, shifted left by 8 more where bit 9 is set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace orrery {

uint32_t read_little_endian_u32(std::string_view bytes, size_t at);  // at + 4 <= bytes.size()

// Immutable; safe from any thread. What the entries say is checked when they are followed.
class DoubleArray {
 public:
  DoubleArray() = default;
  explicit DoubleArray(std::string_view bytes);  // what is left over of the last entry is not looked at

  bool empty() const { return entries_.empty(); }

  // Calls `on_value(length, value)` for each prefix of text[offset, end) that has a value, shortest first, until it
  // returns false. Zero bytes are of no spelling.
  template <typename F>
  void for_each_prefix(std::string_view text, size_t offset, F&& on_value) const {
    if (empty()) return;
    uint32_t node = offset_of(entries_[0]);
    for (size_t at = offset; at < text.size(); ++at) {
      const auto byte = static_cast<uint8_t>(text[at]);
      node ^= byte;
      if (byte == 0 || node >= entries_.size() || (entries_[node] & (kHoldsValue | 0xff)) != byte) return;
      const bool has_value = (entries_[node] >> 8 & 1) != 0;
      node ^= offset_of(entries_[node]);
      if (!has_value) continue;
      if (node >= entries_.size() || !on_value(at - offset + 1, size_t{entries_[node] & ~kHoldsValue})) return;
    }
  }

 private:
  static constexpr uint32_t kHoldsValue = 1u << 31;
  static uint32_t offset_of(uint32_t entry) { return (entry >> 10) << ((entry & (1u << 9)) >> 6); }

  std::vector<uint32_t> entries_;
};

}  // namespace orrery
