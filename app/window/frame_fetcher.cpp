#include "app/window/frame_fetcher.h"

#include <algorithm>
#include <limits>

namespace orrery {
namespace {

// Of one request: about what a reply carries at once.
constexpr int64_t kRequestBytes = int64_t{4} << 20;
constexpr std::chrono::microseconds kTakeBudget{2000};
constexpr std::chrono::milliseconds kAskAgain{1000};
constexpr int64_t kMostReach = 1 << 16;

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

// Steps of a request, whole cells: of about kRequestBytes unpacked.
int64_t steps_per_request(const FrameHistory& history, const Probe& probe, int32_t level) {
  const ModelConfig& config = history.info().config;
  int64_t row_bytes = probe.dtype == DType::kI64 && level == 0 ? 8 : 4;
  if (probe.has_layers()) row_bytes *= std::max<int64_t>(static_cast<int64_t>(probe.layers(config).size()), 1);
  for (const int64_t size : probe.inner_shape(config, std::max<int64_t>(history.n_processed(), 1))) row_bytes *= size;
  const int64_t rows = std::clamp<int64_t>(kRequestBytes / std::max<int64_t>(row_bytes, 1), 16, 1 << 17);
  return rows * steps_per_cell(level);
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

FrameFetcher::PerLevel& FrameFetcher::of(Key key) {
  auto [it, added] = levels_.try_emplace(key);
  if (added) it->second.tag = levels_.size();
  return it->second;
}

void FrameFetcher::add_absent(PerLevel& per_level, Range range) {
  std::vector<Range>& absent = per_level.absent;
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

void FrameFetcher::cancel_stale(std::span<const FrameRange> wanted) {
  for (auto& [key, per_level] : levels_) {
    if (!per_level.in_flight) continue;
    const Range asked = per_level.asked;
    const bool touches = std::any_of(wanted.begin(), wanted.end(), [&key = key, asked](const FrameRange& range) {
      return Key(range.probe, range.level) == key && range.begin < asked.second && range.end > asked.first;
    });
    if (touches) continue;
    source_->cancel(per_level.tag);
    per_level.in_flight = false;
    ++n_cancelled_;
  }
}

void FrameFetcher::ask(const FrameHistory& history, std::span<const FrameRange> wanted, int64_t cursor, bool growing,
                       Clock::time_point now) {
  cancel_stale(wanted);
  std::map<Key, std::vector<Range>> missing;
  std::vector<Key> in_order;  // as the views want them
  for (const FrameRange& range : wanted) {
    const Key key(range.probe, range.level);
    if (range.begin >= range.end || of(key).in_flight) continue;
    const auto some = history.missing(*range.probe, range.begin, range.end, range.level);
    if (some.empty()) continue;
    if (!missing.contains(key)) in_order.push_back(key);
    missing[key].insert(missing[key].end(), some.begin(), some.end());
  }
  for (const Key& key : in_order) {
    PerLevel& per_level = of(key);
    if (growing && !per_level.absent.empty() && now - per_level.absent_since > kAskAgain) per_level.absent.clear();
    const int64_t most = steps_per_request(history, *key.first, key.second);
    Range range = nearest_missing(missing.at(key), per_level.absent, cursor, most * per_level.reach);
    if (range.first >= range.second) continue;
    if (history.used_bytes() > history.max_bytes() && distance(range, cursor) > most) continue;
    const int64_t cell = steps_per_cell(key.second);
    range = {range.first / cell * cell, (range.second + cell - 1) / cell * cell};
    per_level.in_flight = true;
    per_level.has_found = false;
    per_level.asked = range;
    source_->request({.tag = per_level.tag,
                      .run = history.info().run,
                      .probe = key.first,
                      .level = key.second,
                      .step_begin = range.first,
                      .step_end = range.second});
  }
}

bool FrameFetcher::take(FrameHistory& history) {
  bool any = false;
  FrameReply reply;
  const auto start = Clock::now();
  while (Clock::now() - start < kTakeBudget && source_->poll(reply)) {
    for (const Frame& frame : reply.frames) history.add_frame(frame);
    any = any || !reply.frames.empty();
    const auto found = levels_.find({reply.request.probe, reply.request.level});
    if (found == levels_.end()) continue;
    PerLevel& per_level = found->second;
    per_level.has_found |= !reply.frames.empty();
    if (!reply.complete) continue;
    per_level.in_flight = false;
    per_level.reach = per_level.has_found ? 1 : std::min(per_level.reach * 2, kMostReach);
    ++n_answered_;
    if (per_level.absent.empty()) per_level.absent_since = Clock::now();
    const auto [begin, end] = per_level.asked;
    for (const Range& range : history.missing(*reply.request.probe, begin, end, reply.request.level)) {
      add_absent(per_level, range);
    }
  }
  return any;
}

bool FrameFetcher::busy() const {
  return std::any_of(levels_.begin(), levels_.end(), [](const auto& entry) { return entry.second.in_flight; });
}

}  // namespace orrery
