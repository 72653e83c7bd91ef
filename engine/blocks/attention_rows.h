// What the blocks with attention share: where a step's statistics go, which keys its rows see, where its keys lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/block.h"
#include "engine/blocks/key_mask.h"

namespace orrery {

// The places of this layer's attention.* quantities that are wanted.
AttentionStats attention_stats(const ProbeBuffer& probes, int32_t layer);

// What each row of a step sees by causality, window and mask.
class SeenKeys {
 public:
  // mask: null where all keys of the window are seen.
  SeenKeys(const Step& step, const AttentionConfig& config, const KeyMask* mask);
  SeenKeys(const SeenKeys&) = delete;
  SeenKeys& operator=(const SeenKeys&) = delete;
  std::span<const AttentionRow> rows() const { return rows_; }  // valid as long as this object is

 private:
  std::vector<std::vector<uint64_t>> words_;
  std::vector<AttentionRow> rows_;
};

// The pages that a step's rows are written to, and all that its sequences have, for one layer.
struct StepPages {
  explicit StepPages(const Step& step);
  std::vector<std::byte*> keys, values;  // per row
  std::vector<KvPages> sequences;
  DType dtype = DType::kF32;
};

}  // namespace orrery
