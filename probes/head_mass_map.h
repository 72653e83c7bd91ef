// HeadMassMap: attention.mass of one head over all steps that were ever seen of it, as a pyramid: level k has a row for
// every 2^k steps, each cell the largest of them. A map of any zoom is then a copy of as many rows as it shows, and a
// new step costs its blocks once a level. UI thread only.
//
// Frames hold the heads of all layers, 1 MB a step of a 32-layer, 32-head model in the middle of 32,768 tokens, so that
// a history of 512 MB holds some hundred of them; the pyramid of the one head that is looked at holds all, in 67 MB
// (half a square of 32,768 x 512 cells of 4 bytes, twice for the coarser levels).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "probes/frame.h"

namespace orrery {

class HeadMassMap {
 public:
  static constexpr int64_t kBlock = 64;  // keys
  static constexpr int kLevels = 20;     // 2^19 steps a row: 40 rows for the longest run

  HeadMassMap(int32_t layer, int32_t head) : layer_(layer), head_(head) {}

  int32_t layer() const { return layer_; }
  int32_t head() const { return head_; }

  // Takes in the steps [begin, end) of a frame of attention.mass; those that it has stay as they are.
  void add(const Frame& frame, int64_t begin, int64_t end);
  bool has(int64_t step) const { return n_steps(step, 0) > 0; }
  // Of the steps [index * 2^level, (index + 1) * 2^level): how many are known, and the largest mass of each block of
  // keys up to the last that one of them sees; empty where none is known.
  int64_t n_steps(int64_t index, int level) const;
  std::span<const float> row(int64_t index, int level) const;
  size_t n_bytes() const { return n_bytes_; }  // of all cells

 private:
  struct Row {
    int64_t n_steps = 0;
    std::vector<float> cells;
  };
  void add_step(int64_t step, std::span<const float> masses);

  int32_t layer_;
  int32_t head_;
  std::array<std::vector<Row>, kLevels> levels_;
  size_t n_bytes_ = 0;
};

}  // namespace orrery
