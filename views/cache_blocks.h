// What each layer's cache of keys holds, in blocks of 64 tokens: how old, whose, and how much it is read. Without any
// drawing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

// Layers with attention x blocks of keys, at a step.
struct CacheBlocks {
  static constexpr int64_t kBlock = 64;
  // Received attention is added up over at most so many steps, the newest, and so many numbers.
  static constexpr int64_t kMostSteps = 64;
  static constexpr int64_t kMostNumbers = int64_t{1} << 21;

  int64_t step = -1;
  int64_t n_blocks = 0;         // up to the step
  std::vector<int32_t> layers;  // rows
  // [layers, n_blocks]: tokens since the block's newest key was written; NaN where all of its keys were dropped (see
  // gone) or it is not recorded.
  std::vector<float> age;
  std::vector<int64_t> gone;  // of each layer: keys dropped, oldest first; -1: not recorded
  // [layers, n_blocks]: attention.mass, mean over heads, added up over `received_steps`; NaN where a layer has none,
  // and where the keys are gone by now.
  std::vector<float> received;
  StepRange received_steps;
  int64_t n_received = 0;  // of them, recorded
  FrameRow entries_row;    // empty: not recorded
  FrameRow mass_row;

  bool is_gone(size_t row, int64_t block) const { return gone[row] >= (block + 1) * kBlock; }
};
CacheBlocks cache_blocks(const FrameHistory& history, int64_t step);
// The steps whose received attention is added up at a step: those of attention.mass that the picture needs.
StepRange received_steps(const ModelConfig& config, int64_t step);

// Maximal runs of tokens of one segment in [0, end).
struct SegmentRun {
  Segment segment = Segment::kUser;
  int64_t begin = 0;
  int64_t end = 0;
};
std::vector<SegmentRun> segment_runs(std::span<const Token> tokens, int64_t end);
// The segment that most of a block's tokens are of, and of how many: "user", 40.
struct BlockOwner {
  Segment segment = Segment::kUser;
  int64_t n_tokens = 0;
};
std::vector<BlockOwner> block_owners(std::span<const Token> tokens, int64_t end);

}  // namespace orrery
