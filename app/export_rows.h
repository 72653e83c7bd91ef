// From Frames to the rows of an exported array: the wanted layers and heads, key axes as long as the run.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "app/export_writer.h"
#include "probes/frame.h"

namespace orrery {

// Row of `step` out of a frame that covers it. What the frame lacks (layers, heads) is missing: NaN, -1; keys beyond
// the row are padded as the probe says. Valid until the next call.
class ExportRows {
 public:
  explicit ExportRows(const ExportShape& shape);
  std::span<const std::byte> row(const Frame& frame, int64_t step);
  std::span<const std::byte> missing_row();

 private:
  void fill_missing(std::byte* at, int64_t n_values) const;

  const ExportShape& shape_;
  int64_t block_values_;  // of one layer and head
  std::vector<std::byte> values_;
};

}  // namespace orrery
