// MassPager: reads the block mass of a run's steps through the map of the one head that is gathered
// (FrameHistory::gather_mass): of each Frame the head's blocks are taken, and it is let go of. So the map is whole
// where the Frames of all heads, 1 MB a step at 32,768 tokens of 32 layers x 32 heads, would not fit into memory.
// Newest first, a few MB at a time, on the source's thread. UI thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "probes/frame_history.h"
#include "probes/frame_source.h"

namespace orrery {

class MassPager {
 public:
  // `open` is asked for the source when something is missing, once; it may have none.
  using Open = std::function<std::unique_ptr<FrameSource>()>;
  explicit MassPager(Open open) : open_(std::move(open)) {}

  // Asks for the newest steps that the gathered map of this head lacks; one request at most is under way, and what was
  // asked for once is not asked for again until another head is gathered.
  void want(const FrameHistory& history, int32_t layer, int32_t head);
  // Takes what was read; true where there was any.
  bool take(FrameHistory& history);

 private:
  int64_t steps_at_once(const FrameHistory& history, int64_t end) const;

  Open open_;
  std::unique_ptr<FrameSource> source_;
  bool is_open_ = false;
  bool in_flight_ = false;
  int32_t layer_ = -1;
  int32_t head_ = -1;
  int64_t end_ = 0;  // steps from here on are known or were asked for
};

}  // namespace orrery
