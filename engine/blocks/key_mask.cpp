#include "engine/blocks/key_mask.h"

#include <algorithm>

namespace orrery {

void FirstAndRecentKeys::fill(const Step& step, int64_t row, int64_t key_begin, std::span<uint64_t> words) const {
  const int64_t end = step.batch.positions[static_cast<size_t>(row)] + 1;
  const int64_t base = key_begin / kKvPageTokens * kKvPageTokens;
  const auto set = [&](int64_t from, int64_t to) {
    for (int64_t key = std::max(from, key_begin); key < to; ++key) {
      words[static_cast<size_t>((key - base) / kKvPageTokens)] |= uint64_t{1} << (key % kKvPageTokens);
    }
  };
  set(0, std::min(end, n_first_));
  set(end - window_, end);
}

}  // namespace orrery
