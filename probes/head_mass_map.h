// HeadMassMap: attention.mass of one head over all steps that were ever seen of it, as a pyramid: level k has a row for
// every 2^k steps, each cell the largest of them. A map of any zoom is then a copy of as many rows as it shows, and a
// new step costs its blocks once a level. Rows of many steps may come whole, from the coarse levels of a recording,
// long before their steps or without them. UI thread only.
//
// Frames hold the heads of all layers, 1 MB a step of a 32-layer, 32-head model in the middle of 32,768 tokens, so that
// a history of 512 MB holds some hundred of them; the pyramid of the one head that is looked at holds all, in 67 MB
// (half a square of 32,768 x 512 cells of 4 bytes, twice for the coarser levels).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
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

  // Takes in the rows of a frame of attention.mass, of steps or of coarse cells, that lie in [begin, end); what it has
  // stays as it is.
  void add(const Frame& frame, int64_t begin, int64_t end);
  bool has(int64_t step) const { return n_steps(step, 0) > 0; }
  // Of the steps [index * 2^level, (index + 1) * 2^level): how many are known (of cells, of which not each step may
  // have been measured, all), and the largest mass of each block of keys up to the last that one of them sees; empty
  // where none is known.
  int64_t n_steps(int64_t index, int level) const;
  std::span<const float> row(int64_t index, int level) const;
  // Whether all steps of the row are known, of a run of so many.
  bool is_complete(int64_t index, int level, int64_t n_processed) const;
  // The least level from `level` on at which no row of [begin, end) lacks steps that a coarser one has from a cell:
  // with finer rows a picture would leave out what is known.
  int shown_level(int64_t begin, int64_t end, int level, int64_t n_processed) const;
  size_t n_bytes() const { return n_bytes_; }  // of all cells
  // Where it comes from: what was added last, without its values. Null at first.
  const std::shared_ptr<const Frame>& source() const { return source_; }

 private:
  struct Row {
    int64_t n_steps = 0;
    bool is_cell = false;  // came whole: steps that come later are in it already
    std::vector<float> cells;
  };
  bool is_cell(int64_t index, int level) const;
  Row& row_at(int level, int64_t index);
  void raise(Row& row, std::span<const float> masses);
  void add_step(int64_t step, std::span<const float> masses);
  void add_cell(int64_t step, int level, std::span<const float> masses);
  void keep_source(const Frame& frame);

  int32_t layer_;
  int32_t head_;
  std::array<std::vector<Row>, kLevels> levels_;
  size_t n_bytes_ = 0;
  std::shared_ptr<const Frame> source_;
};

// The level of a HeadMassMap whose rows are the cells of a coarse level.
constexpr int map_level_of(int32_t level) { return std::countr_zero(static_cast<uint64_t>(steps_per_cell(level))); }

}  // namespace orrery
