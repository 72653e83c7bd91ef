// SpellingIndex: ids by spelling. A table of open addressing: a quarter of a million tokens are read in a few
// milliseconds, and a text of a megabyte is looked up millions of times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace orrery {

// Built by emplace(), then immutable and safe from any thread. Keeps views of the spellings.
class SpellingIndex {
 public:
  void reserve(size_t n_spellings);
  // Of two ids with one spelling the first stays.
  void emplace(std::string_view spelling, int32_t id);
  std::optional<int32_t> find(std::string_view spelling) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string_view spelling;
    int32_t id;
  };
  struct Slot {
    uint32_t hash = 0;   // the high bits: the low ones are the place
    uint32_t entry = 0;  // index + 1; 0: empty
  };
  // Where `spelling` is or would be. There is an empty slot.
  size_t place(std::string_view spelling, uint64_t hash) const;

  std::vector<Entry> entries_;
  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace orrery
