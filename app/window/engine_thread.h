// EngineThread: loads models and generates on a thread of its own, recording each run, so that the window never waits
// for the model. Commands are queued by kind, a newer one replacing an older one of the same kind; what happens comes
// back as events that the UI thread polls.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "app/open_model.h"
#include "app/prompt.h"
#include "app/recorded_rows.h"
#include "app/recorded_run.h"
#include "app/row_recall.h"
#include "app/run_loop.h"
#include "probes/frame_bus.h"
#include "sessions/recorder.h"

namespace orrery {

// What the user asks for with "Generate".
struct GenerateRequest {
  uint64_t tag = 0;  // comes back with the run's events
  PromptKind kind = PromptKind::kPrompt;
  std::string text;                   // the prompt, the user's message, or ids separated by commas or spaces
  std::optional<std::string> system;  // of a new chat: its system message
  // The last run goes on, from its live cache and in the same recording: with `text` as the user's next message, or
  // without text from its last token. kind, system, sampler and record are then the run's own.
  bool go_on = false;
  // A new run with the prompt and the settings of one that session_path has, which becomes its parent, but with this
  // exit of the model's loop. kind, text, system, sampler, n_new_tokens and record are then that run's own.
  struct OtherExit {
    int64_t parent = 0;
    LoopRequest::Exit exit;
  };
  std::optional<OtherExit> other_exit;
  // `text` is read as it stands (prepare_reading), also by a run that is in progress, which then goes on behind it.
  bool forced = false;
  SamplerSettings sampler;
  int64_t n_new_tokens = 128;
  Level level = Level::kStandard;  // of what is recorded, and shown
  bool record = true;
  std::string session_path;  // where it is recorded
  int64_t max_session_bytes = 0;
  int64_t exact_steps = 512;  // attention.row of all heads is measured for so many first steps; later, of pinned heads
  // Called on the engine thread after each new token; for tests that hold the engine up.
  std::function<void()> after_token;
};

// What the rest of the window knows of the open model. The weights stay with the engine alone, so that their memory is
// free when it lets go of them.
struct OpenModel {
  std::shared_ptr<const ModelFile> file;
  std::shared_ptr<const Tokenizer> tokenizer;  // null where there is none
  std::string fingerprint;
  std::string backend;  // "cpu"
  std::string device;   // "CPU, AVX3_DL, 2 threads"
  std::string remark;   // on the backend; mostly empty
};

namespace engine_event {
// First of all events, once.
struct BackendsFound {
  std::string no_cuda;  // why CUDA cannot be used; empty where it can
};
struct LoadProgress {
  double share = 0;  // 0..1
};
struct ModelLoaded {
  OpenModel model;
  bool has_chat = false;
  std::string no_chat;         // why it has none
  std::string no_system;       // why a chat takes no system message; empty where it does
  std::string default_system;  // that a chat has where none is given
};
struct LoadFailed {
  Error error;
  bool none_is_open = false;  // the one before had to make room
};
// The run's Frames come through `ring`; they carry info.run.
struct RunStarted {
  uint64_t tag = 0;
  bool goes_on = false;  // the last run, with its next turn
  RunInfo info;
  std::shared_ptr<FrameRing> ring;
  std::shared_ptr<Recorder> recorder;  // null where the run is not recorded
  std::string session_path;
};
// While the way to a row is long: tokens fed so far, and in all.
struct RowProgress {
  RowRequest request;
  int64_t n_done = 0;
  int64_t n_total = 0;
};
// The answer to EngineThread::want_row.
struct RowRecalled {
  RowRequest request;
  std::optional<Frame> frame;  // none: why not
  std::string why;
  std::string remark;    // in what the conditions differ from those of the recording; mostly empty
  double elapsed_s = 0;  // that the engine worked on it
};
struct RunEnded {
  uint64_t tag = 0;
  std::optional<Error> error;            // why it failed
  std::optional<Error> recording_error;  // why recording failed
  std::string reason;                    // "length", "end token", "stopped", "context full"
  double prefill_s = 0;
  double decode_s = 0;
  int64_t n_decoded = 0;
  int64_t n_dropped = 0;     // batches that the screen's ring dropped, in all turns
  std::string cannot_go_on;  // why the run cannot go on from its last token; empty where it can
  std::string no_next_turn;  // why it cannot go on with a message; empty where it can
};
}  // namespace engine_event

using EngineEvent = std::variant<engine_event::BackendsFound, engine_event::LoadProgress, engine_event::ModelLoaded,
                                 engine_event::LoadFailed, engine_event::RunStarted, RunProgress,
                                 engine_event::RunEnded, engine_event::RowProgress, engine_event::RowRecalled>;

class EngineThread {
 public:
  explicit EngineThread(BackendMakers backends = {});
  ~EngineThread();  // stops what runs, closes its session, joins
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // Any thread, returning at once. Loading and generating first end a run in progress.
  void load(ModelChoice choice);
  void cancel_load() { cancel_load_.store(true); }
  void generate(GenerateRequest request);
  void stop();
  // Asks for the exact attention of a layer at a step of the run that the engine holds: in progress (computed between
  // its steps, a little at a time), paused or ended. Or of a recorded run of the open model, whose tokens are then fed
  // again as far as that. A newer request replaces one that is not answered.
  void want_row(const RowRequest& request);
  // The row that is under way is not wanted any more.
  void cancel_row();
  // The heads whose exact rows are measured at every step, of the run in progress from its next step on, and of those
  // to come.
  void pin_heads(std::vector<PinnedHead> heads);
  RunControl& control() { return control_; }
  // New tokens come at most this often; 0: as fast as they can. Takes effect at once.
  void set_rate(double tokens_per_s) { rate_.store(tokens_per_s); }

  // Any thread: the steps that the engine has taken since the thread began; prompt batches count as one.
  int64_t n_passes() const { return n_passes_.load(std::memory_order_relaxed); }
  // UI thread: moves the oldest event out; false where there is none.
  bool poll(EngineEvent& event);

 private:
  void thread_main();
  void do_load(const ModelChoice& choice);
  void make_room_for(const ModelChoice& choice);
  void do_generate(const GenerateRequest& request);
  Result<RunResult> run_new(const GenerateRequest& request);
  Result<RunResult> run_with_exit(const GenerateRequest& request);
  Result<RunResult> begin_run(const GenerateRequest& request, RunRecord record, RunRequest run_request);
  Result<void> set_loop(const LoopRequest& loop);
  Result<RunResult> run_on(const GenerateRequest& request);
  void say_started(const GenerateRequest& request, std::shared_ptr<FrameRing> screen);
  void say_what_can_follow(engine_event::RunEnded& ended) const;
  RunSinks sinks();
  void post(EngineEvent event);
  void wait_for_pace();
  bool has_other_work();
  void take_pins();
  bool recall(int64_t max_rows);
  void take_row_request();
  Result<void> begin_row(const RowRequest& request);
  RowRecall* row_under_way();
  void forget_rows();
  void answer(const RowRequest& request, Result<std::optional<Frame>> row);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<ModelChoice> load_;
  std::optional<GenerateRequest> generate_;
  std::optional<RowRequest> wanted_row_;
  bool cancel_row_ = false;
  std::optional<std::vector<PinnedHead>> new_pins_;
  bool quit_ = false;
  std::deque<EngineEvent> events_;
  std::atomic<bool> cancel_load_{false};
  std::atomic<int64_t> n_passes_{0};
  std::atomic<double> rate_{0};
  RunControl control_;

  const BackendMakers backends_;

  // Engine thread only.
  std::chrono::steady_clock::time_point last_token_{};
  std::optional<OpenedModel> model_;
  ModelChoice choice_;        // that opened it
  bool has_own_loop_ = true;  // its loop is that of choice_
  std::unique_ptr<Generator> generator_;
  std::unique_ptr<RecordedRun> run_;             // the last one; may go on
  std::unique_ptr<RowRecall> recall_;            // of that run
  std::unique_ptr<RecordedRows> recorded_rows_;  // of a run in a session
  double recall_s_ = 0;
  std::vector<PinnedHead> pins_;
  std::function<void()> after_token_;

  std::thread thread_;
};

}  // namespace orrery
