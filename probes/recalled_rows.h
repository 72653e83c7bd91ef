// RecalledRows: rows over keys (attention.row, state.row) of single steps and some layers, computed again on request.
// They stand beside what was recorded of the same steps, which may be of other layers and heads. UI thread only.
#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include "probes/frame.h"

namespace orrery {

class RecalledRows {
 public:
  explicit RecalledRows(size_t max_bytes = size_t{32} << 20) : max_bytes_(max_bytes) {}

  // One step's; the oldest make room.
  void add(const Frame& frame);
  // One that has the layer; null where there is none.
  std::shared_ptr<const Frame> find(const Probe& probe, int64_t step, int32_t layer) const;
  void clear();
  size_t used_bytes() const { return used_bytes_; }

 private:
  size_t max_bytes_;
  size_t used_bytes_ = 0;
  std::list<std::shared_ptr<const Frame>> frames_;  // newest first
};

}  // namespace orrery
