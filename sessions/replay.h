// Replay: a stored run, published as FrameBatches into a ring at the pace at which it was recorded. It needs neither
// the model nor a bus, and never feeds a recorder. Its transport (play, pause, step, seek, speed) may be used by any
// thread; the publishing thread is its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/result.h"
#include "probes/frame_bus.h"
#include "sessions/session_reader.h"

namespace orrery {

struct ReplayState {
  bool playing = false;
  int64_t position = 0;  // the next step to be published: steps [seek target, position) have been
  int64_t n_steps = 0;   // tokens of the run
  double speed = 1.0;
  bool finished() const { return position >= n_steps; }
  std::optional<Error> error;  // why it stopped by itself
};

class Replay {
 public:
  // Paused at step 0. `run` 0: the last one. Of `probes`, those that were recorded are published; empty: all of them.
  static Result<std::unique_ptr<Replay>> open(const std::string& path, int64_t run, std::shared_ptr<FrameRing> ring,
                                              std::vector<const Probe*> probes = {});
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  const RunInfo& info() const { return info_; }

  void play();  // from the start again where it had finished
  void pause();
  void step(int64_t n_steps = 1);  // publishes n more steps as fast as the ring takes them, then pauses
  void seek(int64_t step);         // goes on from there; clamped to the run
  void set_speed(double speed);    // 1: as recorded; clamped to 0.01 .. 1000; applies to what comes next
  ReplayState state() const;

 private:
  using Clock = std::chrono::steady_clock;
  Replay(std::unique_ptr<SessionReader> reader, RunInfo info, std::vector<Token> tokens, std::vector<RunEvent> events,
         std::vector<const Probe*> probes, std::shared_ptr<FrameRing> ring);
  void thread_main();
  void restart_clock();                       // lock held: the next token is due at once
  Clock::time_point due(size_t index) const;  // lock held
  size_t batch_end(size_t index) const;       // one past the last token that goes out with tokens_[index]
  Result<SharedBatch> make_batch(size_t begin, size_t end);

  const RunInfo info_;
  const std::vector<Token> tokens_;
  const std::vector<RunEvent> events_;
  const std::vector<const Probe*> probes_;
  const std::unique_ptr<SessionReader> reader_;  // publishing thread only
  const std::shared_ptr<FrameRing> ring_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool playing_ = false;
  bool stop_ = false;
  int64_t steps_asked_ = 0;
  size_t next_ = 0;     // index of the next token
  uint64_t seeks_ = 0;  // changes on every seek, so that a batch made before it is not published
  double speed_ = 1.0;
  Clock::time_point clock_start_;
  int64_t clock_start_ns_ = 0;  // recorded time of the token that was due at clock_start_
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace orrery
