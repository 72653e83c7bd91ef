// Recorder: from the bus to the file. Takes FrameBatches out of its ring on its own thread, packs them into chunks and
// commits at most 100 ms after a batch arrived, so that a kill loses less than 200 ms.
//
// It does little per step: batches are gathered, and written in bunches: their rows are copied to one buffer per probe,
// and each buffer is compressed once per commit. Small chunks are replaced by one of the target size as soon as enough
// of them have come together (so each byte is compressed at most twice), and the rest when the run ends.
//
// A failure (a full disk, a damaged file) stops the recording, not the generation: the ring goes on being emptied,
// status() says what happened, and what was committed stays.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/result.h"
#include "probes/frame_bus.h"
#include "sessions/chunk_packer.h"
#include "sessions/run_record.h"
#include "sessions/session_store.h"

namespace orrery {

struct RecorderOptions {
  StoreOptions store;
  std::chrono::milliseconds commit_interval{80};  // from the first batch of a bunch to its commit
  // Called once, on the recorder's thread, when recording stops by itself. Must not call the recorder.
  std::function<void(const Error&)> on_failure;
};

struct RecorderStatus {
  bool recording = false;        // a run is open and being written
  std::optional<Error> failure;  // why it stopped by itself
  int64_t run = 0;               // the open run, or the last one
  int64_t n_steps = 0;           // steps of the run whose frames are committed: one past the last
  int64_t n_tokens = 0;          // tokens of the run that are committed
  int64_t n_bytes = 0;           // size of the session now
  int64_t n_gaps = 0;            // gap rows written in this run
};

class Recorder {
 public:
  // Opens or creates the session and starts the thread. `ring` is the recorder's own consumer of the bus (kWait).
  static Result<std::unique_ptr<Recorder>> start(const std::string& path, std::shared_ptr<FrameRing> ring,
                                                 RecorderOptions options = {});
  ~Recorder();  // close(), errors ignored
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // The thread that controls the run (engine or app), between runs. Commits the run row at once; batches published
  // afterwards carry the returned id.
  Result<int64_t> begin_run(const RunRecord& record);
  // A recorded run goes on: with its next turn while it is open, or after it had ended, perhaps in another recorder.
  // `n_steps` steps of it were processed so far; batches published afterwards carry its id. Commits at once.
  Result<void> continue_run(const RunRecord& record, int64_t n_steps);
  // After the last publish: waits until all of the run is written, merges its small chunks and marks its end. Returns
  // the failure where recording had stopped by itself.
  Result<void> end_run(RunEnd end);
  // Ends an open run as stopped, stops the thread, closes the file. Idempotent.
  Result<void> close();

  // Any thread.
  RecorderStatus status() const;
  const std::string& path() const { return path_; }

 private:
  Recorder(std::unique_ptr<SessionStore> store, std::shared_ptr<FrameRing> ring, RecorderOptions options);
  void thread_main();
  void drain();  // waits until the thread has taken everything that was published before the call
  Result<void> resume_levels(const RunRecord& record, int64_t n_steps);
  bool write_is_due() const;
  void write_pending();  // in one short transaction, so that notes can be written meanwhile
  Result<void> take(const FrameBatch& batch);
  Result<void> commit(bool seal);
  bool failed() const;
  void fail(const Error& error);
  void mark_failure(RunEnd end);

  const std::string path_;
  const RecorderOptions options_;
  const std::shared_ptr<FrameRing> ring_;

  // Held by the thread while it works on a bunch of batches, and by begin_run and end_run.
  std::mutex work_mutex_;
  std::unique_ptr<SessionStore> store_;
  std::unique_ptr<ChunkPacker> packer_;
  int64_t run_ = 0;                   // 0: none open
  std::vector<SharedBatch> pending_;  // taken out of the ring, not written yet
  size_t pending_bytes_ = 0;
  std::chrono::steady_clock::time_point first_pending_;
  int64_t seen_steps_ = 0;   // one past the last step of any batch
  int64_t taken_steps_ = 0;  // of those that were packed
  int64_t taken_tokens_ = 0;
  int64_t taken_gaps_ = 0;

  mutable std::mutex status_mutex_;
  RecorderStatus status_;

  std::mutex drain_mutex_;
  std::condition_variable changed_;
  std::atomic<uint64_t> drain_asked_{0};
  uint64_t drain_done_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace orrery
