// FrameSource: stored Frames for whoever shows them, fetched on another thread. Declared here so that views and the
// history need not know sessions, which implement it.
#pragma once

#include <cstdint>
#include <vector>

#include "probes/frame.h"

namespace orrery {

struct FrameRequest {
  uint64_t tag = 0;  // a newer request with the same tag replaces an older one that has not been answered
  int64_t run = 1;
  const Probe* probe = nullptr;
  int32_t level = 0;
  int64_t step_begin = 0;
  int64_t step_end = 0;
  LackingCells lacking = LackingCells::kMade;
};

struct FrameReply {
  uint64_t tag = 0;
  FrameRequest request;
  std::vector<Frame> frames;  // ascending by step; steps that were not recorded are absent
  bool complete = true;       // false: more replies to this request follow
};

class FrameSource {
 public:
  virtual ~FrameSource() = default;
  // Any thread; returns at once.
  virtual void request(const FrameRequest& request) = 0;
  virtual void cancel(uint64_t tag) = 0;
  // UI thread: moves one finished reply out; false where there is none.
  virtual bool poll(FrameReply& reply) = 0;
};

}  // namespace orrery
