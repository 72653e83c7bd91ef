// FrameFetcher: asks a FrameSource for what the views want and the history lacks, from the cursor outwards, a few
// megabytes at a time, so that a moved cursor is never behind a long request; what is no longer wanted is cancelled. UI
// thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "probes/frame_history.h"
#include "probes/frame_source.h"

namespace orrery {

class FrameFetcher {
 public:
  using Clock = std::chrono::steady_clock;
  explicit FrameFetcher(std::unique_ptr<FrameSource> source) : source_(std::move(source)) {}

  // `wanted`: all that is wanted now. One request at most per probe and level is under way; one that touches nothing of
  // it any more is cancelled. Beyond the history's limit only what is around the cursor is asked for. Steps that the
  // source answered without Frames are not asked for again, unless `growing` (a run that is being recorded): then after
  // a second. Each answer without any makes the next request twice as long: what was never recorded is soon known.
  void ask(const FrameHistory& history, std::span<const FrameRange> wanted, int64_t cursor, bool growing,
           Clock::time_point now);
  // Moves what was read into the history, for at most about two milliseconds; true where there was any.
  bool take(FrameHistory& history);
  bool busy() const;
  int64_t n_answered() const { return n_answered_; }
  int64_t n_cancelled() const { return n_cancelled_; }

 private:
  using Key = std::pair<const Probe*, int32_t>;  // probe and level
  using Range = std::pair<int64_t, int64_t>;     // half-open
  struct PerLevel {
    uint64_t tag = 0;
    bool in_flight = false;
    Range asked{0, 0};
    bool has_found = false;  // something of what was asked
    int64_t reach = 1;       // requests' worth of steps that the next one asks for
    std::vector<Range> absent;  // sorted, disjoint
    Clock::time_point absent_since;
  };
  PerLevel& of(Key key);
  static void add_absent(PerLevel& per_level, Range range);
  void cancel_stale(std::span<const FrameRange> wanted);

  std::unique_ptr<FrameSource> source_;
  std::map<Key, PerLevel> levels_;
  int64_t n_answered_ = 0;
  int64_t n_cancelled_ = 0;
};

// The part of `missing` nearest to `cursor`, at most `most` steps long, that does not touch `absent` (sorted,
// disjoint); empty (first == second) where there is none. Declared for tests.
std::pair<int64_t, int64_t> nearest_missing(const std::vector<std::pair<int64_t, int64_t>>& missing,
                                            const std::vector<std::pair<int64_t, int64_t>>& absent, int64_t cursor,
                                            int64_t most);

}  // namespace orrery
