#include "sessions/async_frame_source.h"

#include <algorithm>
#include <utility>

namespace orrery {
namespace {

constexpr size_t kReplyBytes = size_t{8} << 20;
constexpr size_t kWaitingBytes = size_t{64} << 20;

}  // namespace

Result<std::unique_ptr<AsyncFrameSource>> AsyncFrameSource::open(const std::string& path) {
  ORRERY_ASSIGN_OR_RETURN(auto reader, SessionReader::open(path));
  return std::unique_ptr<AsyncFrameSource>(new AsyncFrameSource(std::move(reader)));
}

AsyncFrameSource::AsyncFrameSource(std::unique_ptr<SessionReader> reader) : reader_(std::move(reader)) {
  thread_ = std::thread([this] { thread_main(); });
}

AsyncFrameSource::~AsyncFrameSource() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void AsyncFrameSource::drop(uint64_t tag) {
  std::erase_if(pending_, [&](const Pending& pending) { return pending.request.tag == tag; });
  std::erase_if(finished_, [&](const Finished& finished) {
    if (finished.reply.tag != tag) return false;
    finished_bytes_ -= finished.n_bytes;
    return true;
  });
  if (active_tag_ == tag) active_serial_ = 0;
}

void AsyncFrameSource::request(const FrameRequest& request) {
  {
    const std::lock_guard lock(mutex_);
    drop(request.tag);
    pending_.push_back({request, next_serial_++});
  }
  changed_.notify_all();
}

void AsyncFrameSource::cancel(uint64_t tag) {
  {
    const std::lock_guard lock(mutex_);
    drop(tag);
  }
  changed_.notify_all();
}

bool AsyncFrameSource::poll(FrameReply& reply) {
  {
    const std::lock_guard lock(mutex_);
    if (finished_.empty()) return false;
    reply = std::move(finished_.front().reply);
    finished_bytes_ -= finished_.front().n_bytes;
    finished_.pop_front();
  }
  changed_.notify_all();
  return true;
}

std::string AsyncFrameSource::last_error() const {
  const std::lock_guard lock(mutex_);
  return last_error_;
}

void AsyncFrameSource::thread_main() {
  while (true) {
    Pending pending;
    {
      std::unique_lock lock(mutex_);
      active_serial_ = active_tag_ = 0;
      changed_.wait(lock, [&] { return stop_ || !pending_.empty(); });
      if (stop_) return;
      pending = pending_.front();
      pending_.pop_front();
      active_serial_ = pending.serial;
      active_tag_ = pending.request.tag;
    }
    answer(pending);
  }
}

void AsyncFrameSource::answer(const Pending& pending) {
  const FrameRequest& request = pending.request;
  std::vector<Frame> frames;
  size_t n_bytes = 0;
  bool wanted = true;
  Result<void> done;
  const auto take = [&](const Frame& frame) {
    frames.push_back(frame);
    n_bytes += frame.payload_bytes;
    if (n_bytes >= kReplyBytes) {
      wanted = deliver(pending, std::exchange(frames, {}), /*complete=*/false);
      n_bytes = 0;
      return wanted;
    }
    const std::lock_guard lock(mutex_);
    wanted = is_wanted(pending.serial);
    return wanted;
  };
  if (request.probe != nullptr) {
    done = reader_->for_each_frame(*request.probe, request.run, request.step_begin, request.step_end, request.level,
                                   take, request.lacking);
  }
  if (!done) {
    const std::lock_guard lock(mutex_);
    last_error_ = done.error().message;
  }
  if (wanted) deliver(pending, std::move(frames), /*complete=*/true);
}

bool AsyncFrameSource::is_wanted(uint64_t serial) const { return !stop_ && active_serial_ == serial; }

// False where the request was replaced or cancelled.
bool AsyncFrameSource::deliver(const Pending& pending, std::vector<Frame> frames, bool complete) {
  Finished finished;
  for (const Frame& frame : frames) finished.n_bytes += frame.payload_bytes;
  finished.reply = {pending.request.tag, pending.request, std::move(frames), complete};
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !is_wanted(pending.serial) || finished_bytes_ < kWaitingBytes; });
  if (!is_wanted(pending.serial)) return false;
  finished_bytes_ += finished.n_bytes;
  finished_.push_back(std::move(finished));
  return true;
}

}  // namespace orrery
