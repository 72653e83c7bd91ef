// FrameRing: a bounded single-producer single-consumer ring of FrameBatches; FrameBus: one ring per consumer.
// The producer is the engine thread; each ring's consumer is one thread. Batches are shared, not copied.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "probes/frame.h"

namespace orrery {

using SharedBatch = std::shared_ptr<const FrameBatch>;

class FrameRing {
 public:
  // Holds at most max_batches batches and at most max_bytes bytes, but always at least one batch.
  FrameRing(size_t max_batches, size_t max_bytes);

  // Producer: whether try_push would take it.
  bool has_room(const FrameBatch& batch) const;
  // Producer: false where it is full (nothing is kept).
  bool try_push(const SharedBatch& batch);
  // Producer: waits until there is room or the time is over.
  bool push_within(const SharedBatch& batch, std::chrono::milliseconds timeout);
  // Producer: also where it is full; for a batch without Frames. False where it is closed.
  bool push_beyond(const SharedBatch& batch);
  // Consumer: null where it is empty.
  SharedBatch try_pop();
  // Consumer: waits for a batch; null after the timeout, or where it is empty and closed.
  SharedBatch pop_within(std::chrono::milliseconds timeout);
  // Either side: wakes all waits; pushes fail from now on, pops drain what is left.
  void close();
  bool closed() const;

 private:
  bool push_locked(const SharedBatch& batch);
  SharedBatch pop_locked();
  bool has_room_locked(const FrameBatch& batch) const;

  // A lock, not a lock-free ring: both sides hold it for nanoseconds, and batches come a few hundred times a second.
  const size_t max_batches_;
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable room_;   // a batch was popped, or the ring closed
  std::condition_variable ready_;  // a batch was pushed, or the ring closed
  std::deque<SharedBatch> batches_;
  size_t bytes_ = 0;
  bool closed_ = false;
};

// Fans batches out. The screen's ring drops the Frames that do not fit and counts them; the recorder's makes the producer
// wait, at most for its stall limit, and then reports the steps that it lost. After a stall nothing waits again until a
// batch has gone through. Neither loses a token or an event: they come with the next batch that goes through.
class FrameBus {
 public:
  enum class Pressure : uint8_t { kDrop, kWait };
  struct Consumer {
    std::shared_ptr<FrameRing> ring;
    Pressure pressure = Pressure::kDrop;
    std::chrono::milliseconds stall_limit{2000};
    std::atomic<int64_t> dropped_batches{0};  // any thread may read it
    // Steps whose frames were lost since the last batch that went through: [gap_begin, gap_end), empty where equal.
    // Producer only, as the tokens and events of those batches, which are kept for the next one.
    int64_t gap_begin = 0;
    int64_t gap_end = 0;
    FrameBatch held;
  };

  // Not while publishing.
  Consumer& add_consumer(std::shared_ptr<FrameRing> ring, Pressure pressure);
  // Engine thread. For a consumer that lost steps, the next batch that goes through carries their tokens and events and
  // where they end; for a kWait one also an event of kind "gap" with detail
  // {"begin": a, "end": b, "reason": "the recorder could not keep up"}.
  void publish(const SharedBatch& batch);
  // Engine thread. Hands over what the consumers still have to learn of lost steps, then closes all rings.
  void close();

 private:
  std::vector<std::unique_ptr<Consumer>> consumers_;
};

}  // namespace orrery
