// SessionController: what is open in the window: a model, a run in progress or a recorded one, and what is held of it.
// It polls the engine's and the reader's results and turns them into one FrameHistory; widgets read it and ask it.
// UI thread only; nothing here waits for the engine or the disk.
#pragma once

#include <QObject>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/mass_pager.h"
#include "app/window/aside.h"
#include "app/window/engine_thread.h"
#include "app/window/exact_rows.h"
#include "app/window/frame_fetcher.h"
#include "app/window/note_book.h"
#include "app/window/stored_run.h"
#include "probes/frame_history.h"
#include "sessions/replay.h"
#include "views/command.h"
#include "views/view.h"

namespace orrery {

class SessionController final : public QObject, public TokenTexts {
  Q_OBJECT
 public:
  enum class Mode : uint8_t {
    kEmpty,   // no run is shown
    kLive,    // a run of this window: in progress, or ended
    kStored,  // a recorded run, all of it
    kReplay,  // a recorded run, growing at the recorded pace
  };

  // `backend`: what models are opened on, until set_backend says otherwise.
  explicit SessionController(BackendChoice backend, BackendMakers backends = {}, QObject* parent = nullptr);
  ~SessionController() override;

  // --- what is open ---
  Mode mode() const { return mode_; }
  const FrameHistory& history() const { return history_; }
  const ViewState& view() const { return view_; }
  bool loading_model() const { return loading_; }
  double load_share() const { return load_share_; }
  bool fetching() const { return opening_source_ || (fetcher_ && fetcher_->busy()); }
  bool opening_session() const { return n_opening_ > 0; }
  const OpenModel* model() const { return model_ ? &*model_ : nullptr; }
  // The BackendKind that models are opened on; empty: CUDA where a device works, else the CPU.
  const std::string& backend() const { return backend_.name; }
  // Why CUDA cannot be used, empty where it can; none until the engine has looked.
  const std::optional<std::string>& no_cuda() const { return no_cuda_; }
  bool has_chat() const { return has_chat_; }
  const std::string& no_chat() const { return no_chat_; }
  const std::string& no_system() const { return no_system_; }            // why a chat takes no system message
  const std::string& default_system() const { return default_system_; }  // that a chat has where none is given
  bool running() const { return running_; }                              // a run is in progress, paused or not
  bool paused() const { return running_ && paused_; }
  bool waiting_for_run() const { return awaiting_start_; }
  // Why the run on the screen cannot go on from its last token, or with a further message; empty where it can.
  std::string cannot_go_on() const;
  std::string no_next_turn() const;
  // Why it cannot read a text behind its last token; a run in progress can.
  std::string cannot_read_on() const;
  const RunProgress& progress() const { return progress_; }
  bool replay_playing() const;
  bool replay_ended() const;
  bool can_replay() const { return !session_path_.empty() && !running_; }
  const std::string& session_path() const { return session_path_; }  // empty where the run is not recorded
  std::optional<RecorderStatus> recording() const;                   // while a run is being recorded
  double recorded_seconds() const;
  int64_t n_dropped() const { return n_dropped_; }
  EngineThread& engine() { return engine_; }
  NoteBook& notes() { return notes_; }  // of the run on the screen
  // TokenTexts
  std::string bytes(int32_t id) const override;

  // --- what the user asks for ---
  void apply(const Command& command);
  void open_model(const std::string& name_or_path);
  // The model that the recorded run on the screen was made with, with its loop and cache type.
  void open_run_model();
  bool can_open_run_model() const { return mode_ != Mode::kEmpty && !session_path_.empty() && !running_; }
  void cancel_load();
  // Holds from the next model on, or from the one that is being loaded.
  void set_backend(const std::string& name);
  void reload_model();
  void open_session(const std::string& path, int64_t run = 0);
  // A new run, or where request.go_on says so, the next turn of the one on the screen. Its session_path is filled in
  // here.
  void generate(GenerateRequest request);
  // The recorded run on the screen once more, as a child of it: its prompt and settings, with another exit of the loop.
  void run_with_exit(const WhatIf& what);
  void run_or_pause();  // Space: of the run in progress, else of the replay
  void step();
  void stop();
  // Live: tokens per second at most, 0: as fast as it goes. Replay: times the recorded pace.
  void set_live_rate(double tokens_per_s);
  void set_replay_speed(double times);
  // What the window may hold of a run (what is farthest from the cursor and not on the screen goes first), and the
  // unnamed sessions together take at most; at once, and at the next run.
  // What the Frames of the run and the maps drawn of them may take together; the maps come first.
  void set_history_bytes(size_t max_bytes);
  void set_texture_bytes(size_t n_bytes);
  void set_sessions_bytes(uint64_t max_bytes) { max_sessions_bytes_ = max_bytes; }
  void set_level(Level level) { level_ = level; }  // of the next runs
  // Gives the open session a name; while it is being recorded this happens at the run's end.
  void save_as(const std::filesystem::path& target);

  // The window's clock: moves what has arrived into the history. True where anything changed.
  bool tick();
  // What is on the screen: gathered view by view, and for the inspector every probe at the selected step; then what the
  // history lacks of all that is asked for, and what nobody wants any more is not.
  void want(const View& view);
  // Of the row that a view looks at: ExactRows::why_not and may_come.
  std::string no_exact_row(const View& view) const {
    return mode_ == Mode::kEmpty ? std::string() : rows_.why_not(view, row_sources());
  }
  bool row_may_come(const View& view) const { return mode_ != Mode::kEmpty && rows_.may_come(view, row_sources()); }
  // A run is being fed to the model again for such a row: tokens so far, and in all; stop() ends it.
  std::optional<std::pair<int64_t, int64_t>> feeding_again() const { return rows_.feeding_again(); }
  void want_inspector();
  void fetch_wanted();
  // Steps moved from the ring to the history since the beginning; for tests.
  int64_t n_batches_taken() const { return n_batches_taken_; }

 Q_SIGNALS:
  void status_changed();
  void view_changed();
  void run_opened();               // another run is shown
  void run_went_on();              // the run on the screen has begun its next turn
  void library_changed();          // a session or a model came or went
  void failed(QString sentence);   // something the user asked for did not happen
  void noticed(QString sentence);  // worth a line in the status bar

 private:
  size_t frame_bytes() const;
  void handle(const EngineEvent& event);
  void load(ModelChoice choice);
  void begin_live(const engine_event::RunStarted& started);
  void take_live(const engine_event::RunStarted& started);
  std::string why_not_live() const;
  void end_live(const engine_event::RunEnded& ended);
  void show_stored(StoredRun run);
  void start_replay();
  void end_replay();
  bool drain_ring();
  void ensure_fetcher();
  void ask_for_missing();
  void drop_fetcher();
  void replay_opened(Result<std::unique_ptr<Replay>> opened, uint64_t tag, int64_t from);
  void finish_save();
  void want_mass_map(const WantedMass& wanted);
  void take_row(const engine_event::RowRecalled& recalled);
  RowSources row_sources() const;
  bool is_runs_model() const;  // the open model made the run on the screen

  EngineThread engine_;
  NoteBook notes_;
  BackendChoice backend_;
  std::optional<std::string> no_cuda_;
  FrameHistory history_;
  ViewState view_;
  ExactRows rows_{engine_, history_, view_};
  Mode mode_ = Mode::kEmpty;

  std::optional<OpenModel> model_;
  bool has_chat_ = false;
  std::string no_chat_, no_system_, default_system_;
  bool loading_ = false;
  ModelChoice loading_choice_;
  double load_share_ = 0;

  uint64_t last_tag_ = 0;        // of the newest request to generate
  bool awaiting_start_ = false;  // that request has neither started nor failed
  uint64_t live_tag_ = 0;        // of the run on the screen
  bool running_ = false;
  bool shows_last_run_ = false;              // the engine holds the run on the screen, and may go on with it
  std::string cannot_go_on_, no_next_turn_;  // as the engine said when it ended
  RunProgress progress_;
  std::shared_ptr<FrameRing> ring_;
  std::shared_ptr<Recorder> recorder_;
  std::string session_path_;
  int64_t n_dropped_ = 0;
  int64_t n_batches_taken_ = 0;
  bool paused_ = false;
  std::optional<std::filesystem::path> save_target_;
  size_t history_bytes_;
  size_t texture_bytes_ = 0;
  uint64_t max_sessions_bytes_;
  Level level_ = Level::kStandard;

  std::optional<FrameFetcher> fetcher_;
  std::vector<FrameRange> gathered_;     // since the last fetch_wanted()
  std::vector<FrameRange> on_screen_;    // of the views
  std::vector<FrameRange> wanted_;       // those, and of the inspector
  std::optional<MassPager> mass_pager_;  // of the session at session_path_
  std::shared_ptr<const Tokenizer> stored_tokenizer_;
  std::unique_ptr<Replay> replay_;
  std::shared_ptr<FrameRing> replay_ring_;
  std::vector<Token> stored_tokens_;
  std::vector<RunEvent> stored_events_;
  double replay_speed_ = 1;
  bool replay_wanted_ = false;  // playing, or to be played once it is open
  bool opening_source_ = false;
  std::chrono::steady_clock::time_point source_failed_at_{};
  int n_opening_ = 0;  // sessions that are being read
  // Of the newest requests: older answers are dropped.
  uint64_t open_tag_ = 0, replay_tag_ = 0, source_tag_ = 0;
  Aside aside_;  // last: what it does needs the rest
};

}  // namespace orrery
