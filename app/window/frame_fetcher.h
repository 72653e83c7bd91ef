// FrameFetcher: asks a FrameSource for what the views want and the history lacks, from the cursor outwards, a few steps
// at a time, so that a moved cursor is never behind a long request. UI thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "probes/frame_history.h"
#include "probes/frame_source.h"

namespace orrery {

class FrameFetcher {
 public:
  using Clock = std::chrono::steady_clock;
  // Within `max_bytes` of the history it fetches all that is wanted; near the limit only what is around the cursor.
  FrameFetcher(std::unique_ptr<FrameSource> source, size_t max_bytes);

  // One request at most per probe is under way. Steps that the source answered without Frames are not asked for again,
  // unless `growing` (a run that is being recorded): then after a second.
  void want(const FrameHistory& history, const Probe& probe, int64_t begin, int64_t end, int64_t cursor, bool growing,
            Clock::time_point now);
  // Moves what was read into the history; true where there was any.
  bool take(FrameHistory& history);
  bool busy() const;

 private:
  using Range = std::pair<int64_t, int64_t>;  // half-open
  struct PerProbe {
    uint64_t tag = 0;
    bool in_flight = false;
    Range asked{0, 0};
    std::vector<Range> absent;  // sorted, disjoint
    Clock::time_point absent_since;
  };
  PerProbe& of(const Probe& probe);
  static void add_absent(PerProbe& per_probe, Range range);

  std::unique_ptr<FrameSource> source_;
  size_t max_bytes_;
  std::map<const Probe*, PerProbe> probes_;
};

// The part of `missing` nearest to `cursor`, at most `most` steps long, that does not touch `absent` (sorted,
// disjoint); empty (first == second) where there is none. Declared for tests.
std::pair<int64_t, int64_t> nearest_missing(const std::vector<std::pair<int64_t, int64_t>>& missing,
                                            const std::vector<std::pair<int64_t, int64_t>>& absent, int64_t cursor,
                                            int64_t most);

}  // namespace orrery
