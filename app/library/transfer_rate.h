// How fast bytes come, and how long the rest will take.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace orrery {

// Over the last seconds, so that it follows a network that changes and does not flicker. One thread at a time.
class TransferRate {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `done_bytes` of the whole; less than before starts anew.
  void add(uint64_t done_bytes, Time now);
  // 0 until there is something to say.
  double bytes_per_s() const;
  // Nothing where the rate or the total (0) is unknown.
  std::optional<std::chrono::seconds> time_left(uint64_t total_bytes) const;

 private:
  struct Sample {
    uint64_t done_bytes;
    Time time;
  };
  std::deque<Sample> samples_;  // at most one per 100 ms, of the last 5 s
};

}  // namespace orrery
