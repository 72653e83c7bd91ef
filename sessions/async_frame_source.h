// AsyncFrameSource: stored Frames, read on a thread of its own through a connection of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/result.h"
#include "probes/frame_source.h"
#include "sessions/session_reader.h"

namespace orrery {

class AsyncFrameSource : public FrameSource {
 public:
  static Result<std::unique_ptr<AsyncFrameSource>> open(const std::string& path);
  ~AsyncFrameSource() override;

  // A newer request with the same tag replaces the older one: what of its replies was not polled yet is dropped.
  // Long ranges are answered in several replies of about 8 MiB; reading pauses while 64 MiB wait to be polled.
  void request(const FrameRequest& request) override;
  void cancel(uint64_t tag) override;
  bool poll(FrameReply& reply) override;

  // Any thread: the last failure in reading, "" where there was none. A request that failed is answered without Frames.
  std::string last_error() const;

 private:
  struct Pending {
    FrameRequest request;
    uint64_t serial = 0;
  };
  struct Finished {
    FrameReply reply;
    size_t n_bytes = 0;
  };

  explicit AsyncFrameSource(std::unique_ptr<SessionReader> reader);
  void thread_main();
  void answer(const Pending& pending);
  bool is_wanted(uint64_t serial) const;  // lock held
  bool deliver(const Pending& pending, std::vector<Frame> frames, bool complete);
  void drop(uint64_t tag);  // lock held

  std::unique_ptr<SessionReader> reader_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Pending> pending_;
  std::deque<Finished> finished_;
  size_t finished_bytes_ = 0;
  uint64_t next_serial_ = 1;
  uint64_t active_serial_ = 0;  // the request being read, 0: none or cancelled
  uint64_t active_tag_ = 0;
  bool stop_ = false;
  std::string last_error_;
  std::thread thread_;
};

}  // namespace orrery
