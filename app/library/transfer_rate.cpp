#include "app/library/transfer_rate.h"

#include <algorithm>
#include <cmath>

namespace orrery {
namespace {

constexpr std::chrono::seconds kWindow{5};
constexpr std::chrono::milliseconds kApart{100};
constexpr std::chrono::milliseconds kLeast{300};  // a rate of less time says nothing

}  // namespace

void TransferRate::add(uint64_t done_bytes, Time now) {
  if (!samples_.empty() && done_bytes < samples_.back().done_bytes) samples_.clear();
  if (samples_.size() > 1 && now - samples_[samples_.size() - 2].time < kApart) {
    samples_.back() = {done_bytes, now};
  } else {
    samples_.push_back({done_bytes, now});
  }
  while (samples_.size() > 2 && now - samples_[1].time > kWindow) samples_.pop_front();
}

double TransferRate::bytes_per_s() const {
  if (samples_.size() < 2) return 0;
  const auto time = samples_.back().time - samples_.front().time;
  if (time < kLeast) return 0;
  const auto n_bytes = static_cast<double>(samples_.back().done_bytes - samples_.front().done_bytes);
  return n_bytes / std::chrono::duration<double>(time).count();
}

std::optional<std::chrono::seconds> TransferRate::time_left(uint64_t total_bytes) const {
  const double rate = bytes_per_s();
  if (rate < 1 || total_bytes == 0 || samples_.back().done_bytes > total_bytes) return std::nullopt;
  const double seconds = static_cast<double>(total_bytes - samples_.back().done_bytes) / rate;
  return std::chrono::seconds(static_cast<int64_t>(std::ceil(std::min(seconds, 1e9))));
}

}  // namespace orrery
