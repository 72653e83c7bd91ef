#include "app/window/mass_pager.h"

#include <algorithm>

namespace orrery {
namespace {

constexpr int64_t kBytesAtOnce = int64_t{8} << 20;
constexpr int64_t kStepsAtOnce = 256;
constexpr int kSkippedLevel = 6;  // 64 steps

const Probe& mass_probe() { return *find_probe("attention.mass"); }

// The end of the newest steps before `end` that the map lacks; 0 where it has all.
int64_t newest_missing(const HeadMassMap& map, int64_t end) {
  constexpr int64_t kSkipped = int64_t{1} << kSkippedLevel;
  while (end > 0) {
    if (end % kSkipped == 0 && map.n_steps(end / kSkipped - 1, kSkippedLevel) == kSkipped) {
      end -= kSkipped;
    } else if (map.has(end - 1)) {
      --end;
    } else {
      break;
    }
  }
  return end;
}

}  // namespace

int64_t MassPager::steps_at_once(const FrameHistory& history, int64_t end) const {
  int64_t n_heads = 0;
  for (const LayerConfig& layer : history.info().config.layers) n_heads += layer.attention.n_heads;
  const int64_t n_blocks = end / HeadMassMap::kBlock + 1;
  const int64_t step_bytes = std::max<int64_t>(n_heads * n_blocks * static_cast<int64_t>(sizeof(float)), 1);
  return std::clamp<int64_t>(kBytesAtOnce / step_bytes, 1, kStepsAtOnce);
}

void MassPager::want(const FrameHistory& history, int32_t layer, int32_t head) {
  const HeadMassMap* const map = history.gathered_mass(layer, head);
  if (map == nullptr || in_flight_) return;
  if (layer != layer_ || head != head_) {
    layer_ = layer;
    head_ = head;
    end_ = history.n_processed();
  }
  end_ = newest_missing(*map, end_);
  if (end_ == 0) return;
  if (!is_open_) {
    source_ = open_();
    is_open_ = true;
  }
  if (source_ == nullptr) return;
  const int64_t begin = std::max<int64_t>(0, end_ - steps_at_once(history, end_));
  source_->request(
      {.tag = 1, .run = history.info().run, .probe = &mass_probe(), .level = 0, .step_begin = begin, .step_end = end_});
  in_flight_ = true;
  end_ = begin;
}

bool MassPager::take(FrameHistory& history) {
  if (source_ == nullptr) return false;
  bool any = false;
  FrameReply reply;
  while (source_->poll(reply)) {
    for (const Frame& frame : reply.frames) history.gather(frame);
    any = any || !reply.frames.empty();
    if (reply.complete) in_flight_ = false;
  }
  return any;
}

}  // namespace orrery
