#include "probes/recalled_rows.h"

#include <algorithm>

namespace orrery {

void RecalledRows::add(const Frame& frame) {
  if (frame.n_steps() != 1) return;
  std::erase_if(frames_, [&](const std::shared_ptr<const Frame>& held) {
    const bool same =
        held->probe == frame.probe && held->step_begin == frame.step_begin && held->layers == frame.layers;
    if (same) used_bytes_ -= held->payload_bytes;
    return same;
  });
  frames_.push_front(std::make_shared<const Frame>(frame));
  used_bytes_ += frame.payload_bytes;
  while (used_bytes_ > max_bytes_ && frames_.size() > 1) {
    used_bytes_ -= frames_.back()->payload_bytes;
    frames_.pop_back();
  }
}

std::shared_ptr<const Frame> RecalledRows::find(const Probe& probe, int64_t step, int32_t layer) const {
  const auto found = std::ranges::find_if(frames_, [&](const std::shared_ptr<const Frame>& held) {
    return held->probe == &probe && held->step_begin == step && held->layer_index(layer) >= 0;
  });
  return found == frames_.end() ? nullptr : *found;
}

void RecalledRows::clear() {
  frames_.clear();
  used_bytes_ = 0;
}

}  // namespace orrery
