#include "engine/tokenizers/spelling_index.h"

#include <algorithm>
#include <bit>

#include "engine/tokenizers/seeded_hash.h"

namespace orrery {

void SpellingIndex::reserve(size_t n_spellings) {
  const size_t wanted = std::bit_ceil(std::max<size_t>(2 * n_spellings, 16));
  if (wanted <= slots_.size()) return;
  entries_.reserve(n_spellings);
  slots_.assign(wanted, {});
  for (size_t i = 0; i < entries_.size(); ++i) {
    const uint64_t hash = seeded_hash(entries_[i].spelling);
    slots_[place(entries_[i].spelling, hash)] = {static_cast<uint32_t>(hash >> 32), static_cast<uint32_t>(i + 1)};
  }
}

void SpellingIndex::emplace(std::string_view spelling, int32_t id) {
  if (2 * (entries_.size() + 1) > slots_.size()) reserve(2 * (entries_.size() + 1));
  const uint64_t hash = seeded_hash(spelling);
  Slot& slot = slots_[place(spelling, hash)];
  if (slot.entry != 0) return;
  entries_.push_back({spelling, id});
  slot = {static_cast<uint32_t>(hash >> 32), static_cast<uint32_t>(entries_.size())};
}

std::optional<int32_t> SpellingIndex::find(std::string_view spelling) const {
  if (slots_.empty()) return std::nullopt;
  const Slot& slot = slots_[place(spelling, seeded_hash(spelling))];
  return slot.entry == 0 ? std::nullopt : std::optional<int32_t>(entries_[slot.entry - 1].id);
}

size_t SpellingIndex::place(std::string_view spelling, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.entry == 0) return at;
    if (slot.hash == static_cast<uint32_t>(hash >> 32) && entries_[slot.entry - 1].spelling == spelling) return at;
  }
}

}  // namespace orrery
