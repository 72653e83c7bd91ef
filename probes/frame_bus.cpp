#include "probes/frame_bus.h"

#include <algorithm>
#include <string>

namespace orrery {

FrameRing::FrameRing(size_t max_batches, size_t max_bytes)
    : max_batches_(std::max<size_t>(max_batches, 1)), max_bytes_(max_bytes) {}

bool FrameRing::has_room_locked(const FrameBatch& batch) const {
  if (batches_.empty()) return true;
  return batches_.size() < max_batches_ && bytes_ + batch.n_bytes <= max_bytes_;
}

bool FrameRing::has_room(const FrameBatch& batch) const {
  const std::lock_guard lock(mutex_);
  return !closed_ && has_room_locked(batch);
}

bool FrameRing::push_locked(const SharedBatch& batch) {
  if (closed_ || !has_room_locked(*batch)) return false;
  bytes_ += batch->n_bytes;
  batches_.push_back(batch);
  return true;
}

SharedBatch FrameRing::pop_locked() {
  if (batches_.empty()) return nullptr;
  SharedBatch batch = std::move(batches_.front());
  batches_.pop_front();
  bytes_ -= batch->n_bytes;
  return batch;
}

bool FrameRing::try_push(const SharedBatch& batch) {
  {
    const std::lock_guard lock(mutex_);
    if (!push_locked(batch)) return false;
  }
  ready_.notify_one();
  return true;
}

bool FrameRing::push_within(const SharedBatch& batch, std::chrono::milliseconds timeout) {
  {
    std::unique_lock lock(mutex_);
    room_.wait_for(lock, timeout, [&] { return closed_ || has_room_locked(*batch); });
    if (!push_locked(batch)) return false;
  }
  ready_.notify_one();
  return true;
}

bool FrameRing::push_beyond(const SharedBatch& batch) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    bytes_ += batch->n_bytes;
    batches_.push_back(batch);
  }
  ready_.notify_one();
  return true;
}

SharedBatch FrameRing::try_pop() {
  SharedBatch batch;
  {
    const std::lock_guard lock(mutex_);
    batch = pop_locked();
  }
  if (batch != nullptr) room_.notify_one();
  return batch;
}

SharedBatch FrameRing::pop_within(std::chrono::milliseconds timeout) {
  SharedBatch batch;
  {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, timeout, [&] { return closed_ || !batches_.empty(); });
    batch = pop_locked();
  }
  if (batch != nullptr) room_.notify_one();
  return batch;
}

void FrameRing::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  room_.notify_all();
  ready_.notify_all();
}

bool FrameRing::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

namespace {

// Adds the batch to what a consumer lost: its steps to the gap, its tokens and events to what is held for later.
void lose(FrameBus::Consumer& consumer, const FrameBatch& batch) {
  for (const Frame& frame : batch.frames) {
    const bool first = consumer.gap_begin == consumer.gap_end;
    consumer.gap_begin = first ? frame.step_begin : std::min(consumer.gap_begin, frame.step_begin);
    consumer.gap_end = first ? frame.step_end : std::max(consumer.gap_end, frame.step_end);
  }
  FrameBatch& held = consumer.held;
  held.run = batch.run;
  held.tokens.insert(held.tokens.end(), batch.tokens.begin(), batch.tokens.end());
  held.events.insert(held.events.end(), batch.events.begin(), batch.events.end());
}

bool owes(const FrameBus::Consumer& consumer) {
  return consumer.gap_begin != consumer.gap_end || !consumer.held.tokens.empty() || !consumer.held.events.empty();
}

// The batch with what the consumer missed before it.
SharedBatch with_what_was_lost(const FrameBus::Consumer& consumer, const FrameBatch& batch) {
  auto whole = std::make_shared<FrameBatch>(batch);
  whole->tokens.insert(whole->tokens.begin(), consumer.held.tokens.begin(), consumer.held.tokens.end());
  whole->events.insert(whole->events.begin(), consumer.held.events.begin(), consumer.held.events.end());
  whole->lost_end = consumer.gap_end;
  if (consumer.pressure == FrameBus::Pressure::kWait && consumer.gap_begin != consumer.gap_end) {
    whole->events.push_back({.step = consumer.gap_begin,
                             .kind = "gap",
                             .layer = -1,
                             .detail = "{\"begin\": " + std::to_string(consumer.gap_begin) +
                                       ", \"end\": " + std::to_string(consumer.gap_end) +
                                       ", \"reason\": \"the recorder could not keep up\"}"});
  }
  whole->count_bytes();
  return whole;
}

void settle(FrameBus::Consumer& consumer) {
  consumer.gap_begin = consumer.gap_end = 0;
  consumer.held = {};
}

// Only a kWait consumer that is not behind may hold the producer up.
bool hand_over(FrameBus::Consumer& consumer, const SharedBatch& batch) {
  if (owes(consumer)) {
    // What was lost is put together once, not at every step of a long stall.
    return consumer.ring->has_room(*batch) && consumer.ring->try_push(with_what_was_lost(consumer, *batch));
  }
  if (consumer.pressure == FrameBus::Pressure::kDrop) return consumer.ring->try_push(batch);
  return consumer.ring->push_within(batch, consumer.stall_limit);
}

}  // namespace

FrameBus::Consumer& FrameBus::add_consumer(std::shared_ptr<FrameRing> ring, Pressure pressure) {
  consumers_.push_back(std::make_unique<Consumer>());
  consumers_.back()->ring = std::move(ring);
  consumers_.back()->pressure = pressure;
  return *consumers_.back();
}

void FrameBus::publish(const SharedBatch& batch) {
  for (const std::unique_ptr<Consumer>& consumer : consumers_) {
    if (hand_over(*consumer, batch)) {
      settle(*consumer);
    } else {
      consumer->dropped_batches.fetch_add(1, std::memory_order_relaxed);
      lose(*consumer, *batch);
    }
  }
}

void FrameBus::close() {
  for (const std::unique_ptr<Consumer>& consumer : consumers_) {
    if (owes(*consumer)) {
      FrameBatch empty;
      empty.run = consumer->held.run;
      const SharedBatch last = with_what_was_lost(*consumer, empty);
      const bool pushed = consumer->pressure == Pressure::kDrop
                              ? consumer->ring->push_beyond(last)
                              : consumer->ring->push_within(last, consumer->stall_limit);
      if (pushed) settle(*consumer);
    }
    consumer->ring->close();
  }
}

}  // namespace orrery
