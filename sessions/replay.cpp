#include "sessions/replay.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <utility>

namespace orrery {
namespace {

constexpr double kLeastSpeed = 0.01;
constexpr double kMostSpeed = 1000.0;
// Tokens whose times lie this close came out of one batch (a prefill) and go out in one again, at most so many of them.
constexpr int64_t kTogetherNs = 200'000;
constexpr size_t kMostTogether = 64;
constexpr std::chrono::milliseconds kPushPatience{50};

// Steps of `batch` under way to the ring can be given up when a seek or the end comes.
bool push_while(FrameRing& ring, const SharedBatch& batch, const std::function<bool()>& still_wanted) {
  while (still_wanted()) {
    if (ring.push_within(batch, kPushPatience)) return true;
    if (ring.closed()) return false;
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<Replay>> Replay::open(const std::string& path, int64_t run, std::shared_ptr<FrameRing> ring,
                                             std::vector<const Probe*> probes) {
  ORRERY_ASSIGN_OR_RETURN(auto reader, SessionReader::open(path));
  ORRERY_ASSIGN_OR_RETURN(const RunRecord record, reader->run(run));
  ORRERY_ASSIGN_OR_RETURN(auto tokens, reader->tokens(record.run));
  ORRERY_ASSIGN_OR_RETURN(auto events, reader->events(record.run));
  if (probes.empty()) probes.assign(all_probes().begin(), all_probes().end());
  std::vector<const Probe*> recorded;
  for (const Probe* probe : probes) {
    ORRERY_ASSIGN_OR_RETURN(const auto steps, reader->recorded_steps(*probe, record.run));
    if (!steps.empty()) recorded.push_back(probe);
  }
  return std::unique_ptr<Replay>(new Replay(std::move(reader), run_info(record), std::move(tokens), std::move(events),
                                            std::move(recorded), std::move(ring)));
}

Replay::Replay(std::unique_ptr<SessionReader> reader, RunInfo info, std::vector<Token> tokens,
               std::vector<RunEvent> events, std::vector<const Probe*> probes, std::shared_ptr<FrameRing> ring)
    : info_(std::move(info)),
      tokens_(std::move(tokens)),
      events_(std::move(events)),
      probes_(std::move(probes)),
      reader_(std::move(reader)),
      ring_(std::move(ring)) {
  thread_ = std::thread([this] { thread_main(); });
}

Replay::~Replay() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Replay::play() {
  {
    const std::lock_guard lock(mutex_);
    if (next_ >= tokens_.size()) {
      next_ = 0;
      ++seeks_;
    }
    playing_ = !tokens_.empty();
    steps_asked_ = 0;
    restart_clock();
  }
  changed_.notify_all();
}

void Replay::pause() {
  {
    const std::lock_guard lock(mutex_);
    playing_ = false;
    steps_asked_ = 0;
  }
  changed_.notify_all();
}

void Replay::step(int64_t n_steps) {
  {
    const std::lock_guard lock(mutex_);
    playing_ = false;
    steps_asked_ += std::max<int64_t>(n_steps, 0);
  }
  changed_.notify_all();
}

void Replay::seek(int64_t step) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::lower_bound(tokens_, step, {}, &Token::step);
    next_ = static_cast<size_t>(found - tokens_.begin());
    steps_asked_ = 0;
    ++seeks_;
    restart_clock();
  }
  changed_.notify_all();
}

void Replay::set_speed(double speed) {
  {
    const std::lock_guard lock(mutex_);
    speed_ = std::isfinite(speed) ? std::clamp(speed, kLeastSpeed, kMostSpeed) : 1.0;
    restart_clock();
  }
  changed_.notify_all();
}

ReplayState Replay::state() const {
  const std::lock_guard lock(mutex_);
  ReplayState state;
  state.playing = playing_;
  state.n_steps = tokens_.empty() ? 0 : tokens_.back().step + 1;
  state.position = next_ < tokens_.size() ? tokens_[next_].step : state.n_steps;
  state.speed = speed_;
  state.error = error_;
  return state;
}

void Replay::restart_clock() {
  clock_start_ = Clock::now();
  if (next_ < tokens_.size()) clock_start_ns_ = tokens_[next_].time_ns;
}

Replay::Clock::time_point Replay::due(size_t index) const {
  const auto recorded_ns = static_cast<double>(std::max<int64_t>(tokens_[index].time_ns - clock_start_ns_, 0));
  // A day at most: times in a file can be anything.
  const double wait_ns = std::min(recorded_ns / speed_, 86'400e9);
  return clock_start_ + std::chrono::nanoseconds(static_cast<int64_t>(wait_ns));
}

size_t Replay::batch_end(size_t index) const {
  size_t end = index + 1;
  while (end < tokens_.size() && end - index < kMostTogether && tokens_[end].step == tokens_[end - 1].step + 1 &&
         tokens_[end].time_ns - tokens_[end - 1].time_ns < kTogetherNs) {
    ++end;
  }
  return end;
}

Result<SharedBatch> Replay::make_batch(size_t begin, size_t end) {
  auto batch = std::make_shared<FrameBatch>();
  batch->run = info_.run;
  const int64_t step_begin = tokens_[begin].step;
  const int64_t step_end = tokens_[end - 1].step + 1;
  batch->tokens.assign(tokens_.begin() + static_cast<std::ptrdiff_t>(begin),
                       tokens_.begin() + static_cast<std::ptrdiff_t>(end));
  for (const Probe* probe : probes_) {
    ORRERY_ASSIGN_OR_RETURN(std::vector<Frame> frames, reader_->frames(*probe, info_.run, step_begin, step_end));
    std::ranges::move(frames, std::back_inserter(batch->frames));
  }
  const auto first = std::ranges::lower_bound(events_, step_begin, {}, &RunEvent::step);
  const auto last = std::ranges::lower_bound(events_, step_end, {}, &RunEvent::step);
  batch->events.assign(first, last);
  batch->count_bytes();
  return SharedBatch(std::move(batch));
}

void Replay::thread_main() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (next_ >= tokens_.size()) playing_ = false, steps_asked_ = 0;
    if (!playing_ && steps_asked_ == 0) {
      changed_.wait(lock);
      continue;
    }
    if (playing_ && Clock::now() < due(next_)) {
      changed_.wait_until(lock, due(next_));
      continue;  // whatever woke us may have changed everything
    }
    const size_t begin = next_;
    const size_t end = playing_ ? batch_end(begin) : begin + 1;
    const uint64_t seeks = seeks_;
    lock.unlock();
    const auto batch = make_batch(begin, end);
    const bool pushed = batch && push_while(*ring_, *batch, [&] {
                          const std::lock_guard check(mutex_);
                          return !stop_ && seeks_ == seeks && (playing_ || steps_asked_ > 0);
                        });
    lock.lock();
    if (!batch) error_ = batch.error();
    if (!batch || ring_->closed()) playing_ = false, steps_asked_ = 0;
    if (!pushed || seeks_ != seeks) continue;
    next_ = end;
    if (!playing_) steps_asked_ = std::max<int64_t>(steps_asked_ - static_cast<int64_t>(end - begin), 0);
  }
}

}  // namespace orrery
