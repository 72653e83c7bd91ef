#include "app/window/frame_times.h"

#include <algorithm>
#include <ctime>

namespace orrery {

int64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void FrameTimes::end_frame() {
  if (!painted_) return;
  ring_ns_[static_cast<size_t>(n_frames_) % kKept] = current_ns_;
  ++n_frames_;
  current_ns_ = 0;
  painted_ = false;
}

void FrameTimes::clear() {
  n_frames_ = 0;
  current_ns_ = 0;
  painted_ = false;
}

double FrameTimes::quantile_ms(double share) const {
  const size_t n = std::min(static_cast<size_t>(n_frames_), kKept);
  if (n == 0) return 0;
  std::vector<int64_t> sorted(ring_ns_.begin(), ring_ns_.begin() + static_cast<ptrdiff_t>(n));
  const auto at = static_cast<size_t>(share * static_cast<double>(n - 1) + 0.5);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(at), sorted.end());
  return static_cast<double>(sorted[at]) * 1e-6;
}

}  // namespace orrery
