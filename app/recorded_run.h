// A run on its way into a session: its record, the recorder with its ring, and the loop that feeds it. Used by the
// command line; the window adds a ring of its own to the same bus.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/open_model.h"
#include "app/prompt.h"
#include "app/run_loop.h"
#include "kernels/base/result.h"
#include "probes/frame_bus.h"
#include "sessions/recorder.h"

namespace orrery {

// What a recorder may fall behind before generation waits for it.
inline constexpr size_t kRecorderRingBatches = 1024;
inline constexpr size_t kRecorderRingBytes = size_t{256} << 20;

// Everything that the session notes of this run and that a re-run must repeat; request.batches is final.
RunRecord make_run_record(const OpenedModel& opened, const PromptRecord& prompt, const RunRequest& request,
                          bool one_step);

struct SessionRun {
  RunResult result;
  int64_t run = 0;        // its id in the session
  RecorderStatus status;  // n_bytes, n_gaps, and the failure where recording stopped by itself (generation went on)
};

// A run of one or more turns, with or without a recording. Engine thread only.
class RecordedRun {
 public:
  struct Where {
    std::string path;  // the session, created or added to; empty: nothing is written
    StoreOptions store;
  };

  // Nothing is written or fed yet. `opened`, `generator` and `control` outlive it. `record` is from make_run_record
  // and may name a parent.
  RecordedRun(const OpenedModel& opened, Generator& generator, RunRecord record, RunRequest request, Where where,
              RunSinks sinks, RunControl& control);
  ~RecordedRun();  // pause_recording(), errors ignored
  RecordedRun(const RecordedRun&) = delete;
  RecordedRun& operator=(const RecordedRun&) = delete;

  // Opens the session, so that the run exists there; record().run is its id then (1 where nothing is written).
  // The ring, where there is one, gets every batch too, or misses some where it is full.
  Result<void> begin(std::shared_ptr<FrameRing> screen = nullptr);
  // The first answer.
  Result<RunResult> start();
  // What the run goes on with: tokens of the next turn (none: on from the last token), n_new_tokens at most. `text` is
  // noted as the user's further message where there is one. After pause_recording() needs resume().
  Result<RunResult> go_on(std::vector<Token> given, int64_t n_new_tokens, const std::optional<std::string>& text);
  // Opens the session again. kNotFound where it is gone.
  Result<void> resume(std::shared_ptr<FrameRing> screen = nullptr);
  // Ends the run in the session as its last turn ended, and closes the file: whole, and one. What recording failed of,
  // now or before; generation is not concerned.
  Result<void> pause_recording();
  // The exact rows of these heads are measured and recorded from the next pass on; between passes. The session's
  // settings say so, so that a re-run repeats it.
  Result<void> pin(const std::vector<PinnedHead>& heads);
  // The session has another name now; between pause_recording() and go_on().
  void move_to(const std::string& path) { where_.path = path; }

  const RunRecord& record() const { return record_; }
  std::span<const int32_t> ids() const { return loop_->ids(); }
  int64_t n_processed() const { return loop_->n_processed(); }
  bool ended_itself() const { return last_ && last_->reason == StopReason::kEndToken; }  // the last answer
  std::shared_ptr<Recorder> recorder() const { return recorder_; }  // null where nothing is being written
  RecorderStatus status() const { return status_; }                 // as of the last pause_recording()
  int64_t n_dropped() const { return n_dropped_; }                  // batches that the screen's ring dropped

 private:
  Result<void> open_bus(std::shared_ptr<FrameRing> screen);
  Result<RunResult> keep(Result<RunResult> result);

  const OpenedModel& opened_;
  Generator& generator_;
  RunRecord record_;
  Where where_;
  std::unique_ptr<FrameBus> bus_;
  FrameBus::Consumer* screen_ = nullptr;
  std::shared_ptr<Recorder> recorder_;
  std::unique_ptr<RunLoop> loop_;
  RunRequest request_;  // of the loop, until begin() has given it an id
  RunSinks sinks_;
  RunControl& control_;
  std::optional<RunResult> last_;
  bool failed_ = false;
  RecorderStatus status_;
  int64_t n_dropped_ = 0;
};

// Records a run of one turn into the session at `path`, created or added to. `sinks.publish`, where there is one, sees
// every batch too. Errors: of the recorder before the run begins, of generation afterwards (the run is then marked
// failed).
Result<SessionRun> record_run(const std::string& path, const OpenedModel& opened, Generator& generator,
                              const PromptRecord& prompt, RunRequest request, bool one_step, const RunSinks& sinks,
                              RunControl& control);

}  // namespace orrery
