#include "app/window/frame_fetcher.h"

#include <algorithm>
#include <limits>

namespace orrery {
namespace {

constexpr int64_t kStepsPerRequest = 128;
constexpr std::chrono::milliseconds kAskAgain{1000};

using Range = std::pair<int64_t, int64_t>;

// What is left of `range` outside `absent`.
void subtract(Range range, const std::vector<Range>& absent, std::vector<Range>& left) {
  for (const Range& hole : absent) {
    if (hole.second <= range.first) continue;
    if (hole.first >= range.second) break;
    if (hole.first > range.first) left.push_back({range.first, hole.first});
    range.first = std::max(range.first, hole.second);
  }
  if (range.first < range.second) left.push_back(range);
}

int64_t distance(Range range, int64_t cursor) {
  if (cursor < range.first) return range.first - cursor;
  return cursor >= range.second ? cursor - range.second + 1 : 0;
}

}  // namespace

std::pair<int64_t, int64_t> nearest_missing(const std::vector<Range>& missing, const std::vector<Range>& absent,
                                            int64_t cursor, int64_t most) {
  std::vector<Range> left;
  for (const Range& range : missing) subtract(range, absent, left);
  if (left.empty()) return {0, 0};
  const Range nearest = *std::min_element(left.begin(), left.end(), [cursor](const Range& a, const Range& b) {
    return distance(a, cursor) < distance(b, cursor);
  });
  if (cursor >= nearest.second) return {std::max(nearest.first, nearest.second - most), nearest.second};
  const int64_t begin = std::max(nearest.first, cursor - most / 2);
  return {begin, std::min(nearest.second, begin + most)};
}

FrameFetcher::FrameFetcher(std::unique_ptr<FrameSource> source, size_t max_bytes)
    : source_(std::move(source)), max_bytes_(max_bytes) {}

FrameFetcher::PerProbe& FrameFetcher::of(const Probe& probe) {
  auto [it, added] = probes_.try_emplace(&probe);
  if (added) it->second.tag = probes_.size();
  return it->second;
}

void FrameFetcher::add_absent(PerProbe& per_probe, Range range) {
  std::vector<Range>& absent = per_probe.absent;
  absent.push_back(range);
  std::sort(absent.begin(), absent.end());
  std::vector<Range> merged;
  for (const Range& next : absent) {
    if (!merged.empty() && next.first <= merged.back().second) {
      merged.back().second = std::max(merged.back().second, next.second);
    } else {
      merged.push_back(next);
    }
  }
  absent = std::move(merged);
}

void FrameFetcher::want(const FrameHistory& history, const Probe& probe, int64_t begin, int64_t end, int64_t cursor,
                        bool growing, Clock::time_point now) {
  PerProbe& per_probe = of(probe);
  if (per_probe.in_flight || begin >= end) return;
  if (growing && !per_probe.absent.empty() && now - per_probe.absent_since > kAskAgain) per_probe.absent.clear();
  const std::vector<Range> missing = history.missing(probe, begin, end);
  if (missing.empty()) return;
  const Range range = nearest_missing(missing, per_probe.absent, cursor, kStepsPerRequest);
  if (range.first >= range.second) return;
  const bool near_limit = history.used_bytes() > max_bytes_ / 10 * 9;
  if (near_limit && distance(range, cursor) > kStepsPerRequest) return;
  per_probe.in_flight = true;
  per_probe.asked = range;
  source_->request({per_probe.tag, history.info().run, &probe, 0, range.first, range.second});
}

bool FrameFetcher::take(FrameHistory& history) {
  bool any = false;
  FrameReply reply;
  while (source_->poll(reply)) {
    for (const Frame& frame : reply.frames) history.add_frame(frame);
    any = any || !reply.frames.empty();
    const auto found = probes_.find(reply.request.probe);
    if (!reply.complete || found == probes_.end()) continue;
    PerProbe& per_probe = found->second;
    per_probe.in_flight = false;
    if (per_probe.absent.empty()) per_probe.absent_since = Clock::now();
    for (const Range& range : history.missing(*found->first, per_probe.asked.first, per_probe.asked.second)) {
      add_absent(per_probe, range);
    }
  }
  return any;
}

bool FrameFetcher::busy() const {
  return std::any_of(probes_.begin(), probes_.end(), [](const auto& entry) { return entry.second.in_flight; });
}

}  // namespace orrery
