// FrameSource: stored Frames for whoever shows them, fetched on another thread. Declared here so that views and the
// history need not know sessions, which implement it.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
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

// A source that reads while it is asked, for callers that have to wait anyway. One thread.
class DirectFrameSource : public FrameSource {
 public:
  void request(const FrameRequest& request) final {
    cancel(request.tag);
    replies_.push_back({.tag = request.tag, .request = request, .frames = read(request), .complete = true});
  }
  void cancel(uint64_t tag) final {
    std::erase_if(replies_, [tag](const FrameReply& reply) { return reply.tag == tag; });
  }
  bool poll(FrameReply& reply) final {
    if (replies_.empty()) return false;
    reply = std::move(replies_.front());
    replies_.pop_front();
    return true;
  }

 private:
  virtual std::vector<Frame> read(const FrameRequest& request) = 0;

  std::deque<FrameReply> replies_;
};

}  // namespace orrery
