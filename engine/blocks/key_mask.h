// KeyMask: which keys the rows of an attention see beyond causality and window: an index's choice, chunks by their
// summaries, first keys that stay beside a window.
#pragma once

#include <cstdint>
#include <span>

#include "engine/block.h"

namespace orrery {

class KeyMask {
 public:
  virtual ~KeyMask() = default;
  // Sets the bits of the keys that a row sees among [key_begin, its position]: bit i of words[w] is key 64 (key_begin /
  // 64
  // + w) + i. The words come zeroed; at least one bit is to be set.
  virtual void fill(const Step& step, int64_t row, int64_t key_begin, std::span<uint64_t> words) const = 0;
};

// The first n_first keys of a text and the last `window`. Source: Xiao et al. 2023 (StreamingLLM), section 3.2, by
// positions as they are.
class FirstAndRecentKeys final : public KeyMask {
 public:
  FirstAndRecentKeys(int64_t n_first, int64_t window) : n_first_(n_first), window_(window) {}
  void fill(const Step& step, int64_t row, int64_t key_begin, std::span<uint64_t> words) const override;

 private:
  int64_t n_first_;
  int64_t window_;  // >= 1
};

}  // namespace orrery
