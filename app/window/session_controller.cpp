#include "app/window/session_controller.h"

#include <QMetaObject>
#include <algorithm>
#include <chrono>
#include <utility>

#include "app/library/installed_models.h"
#include "app/window/preferences.h"
#include "app/window/session_files.h"
#include "sessions/session_reader.h"

namespace orrery {
namespace {

const size_t kHistoryBytes = static_cast<size_t>(Preferences{}.history_mib) << 20;  // unless set
constexpr int64_t kMaxSessionBytes = int64_t{4} << 30;                              // of one unnamed session
constexpr uint64_t kMaxSessionsBytes = uint64_t{8} << 30;  // of all of them together, unless set
constexpr std::chrono::seconds kTryAgain{1};               // a session that could not be read
constexpr size_t kReplayRingBatches = 64;
constexpr size_t kReplayRingBytes = size_t{64} << 20;
// A frame of the window takes in no more than this, so that a prompt's worth of Frames cannot hold it up.
constexpr std::chrono::microseconds kDrainBudget{2500};

// Steps of a newly chosen head's map that are gathered in a frame: half a millisecond at 32,768 tokens.
constexpr int64_t kGatheredSteps = 256;

QString text_of(const std::string& utf8) { return QString::fromStdString(utf8); }

}  // namespace

SessionController::SessionController(BackendChoice backend, BackendMakers backends, QObject* parent)
    : QObject(parent),
      engine_(std::move(backends)),
      backend_(std::move(backend)),
      history_(kHistoryBytes),
      history_bytes_(kHistoryBytes),
      max_sessions_bytes_(kMaxSessionsBytes) {
  backend_.advice = "choose another in the menu Run, Backend";
  connect(&notes_, &NoteBook::failed, this, &SessionController::failed);
  connect(&notes_, &NoteBook::changed, this, &SessionController::view_changed);
}

SessionController::~SessionController() = default;

bool SessionController::replay_playing() const {
  return replay_ ? replay_->state().playing : mode_ == Mode::kReplay && replay_wanted_;
}

bool SessionController::replay_ended() const { return replay_ && replay_->state().finished(); }

std::optional<RecorderStatus> SessionController::recording() const {
  if (!recorder_ || !running_) return std::nullopt;
  return recorder_->status();
}

double SessionController::recorded_seconds() const {
  const auto tokens = history_.tokens();
  return tokens.empty() ? 0 : static_cast<double>(tokens.back().time_ns) * 1e-9;
}

bool SessionController::is_runs_model() const { return model_ && model_->fingerprint == history_.info().fingerprint; }

std::string SessionController::bytes(int32_t id) const {
  if (stored_tokenizer_) return stored_tokenizer_->token_bytes(id);
  return is_runs_model() && model_->tokenizer ? model_->tokenizer->token_bytes(id) : std::string();
}

void SessionController::apply(const Command& command) {
  if (const auto* run = std::get_if<RunWhatIf>(&command)) return run_with_exit(run->what);
  orrery::apply(view_, command);
  if (std::holds_alternative<PinHead>(command)) engine_.pin_heads(view_.pins);
  history_.set_cursor(resolve(history_, view_).step);
  Q_EMIT view_changed();
}

void SessionController::open_model(const std::string& name_or_path) {
  const auto path = resolve_model(name_or_path);
  if (!path) return Q_EMIT failed(text_of(path.error().message));
  load({.model = path->string(), .backend = backend_, .kv = std::nullopt});
}

void SessionController::open_run_model() {
  const auto choose = [path = session_path_, run = history_.info().run, backend = backend_]() -> Result<ModelChoice> {
    ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(path));
    ORRERY_ASSIGN_OR_RETURN(const RunRecord record, reader->run(run));
    return recorded_choice(record, {.model = {}, .backend = backend, .kv = std::nullopt});
  };
  aside_.run(choose, [this](Result<ModelChoice> choice) {
    if (!choice) return Q_EMIT failed(text_of(choice.error().message));
    load(std::move(*choice));
  });
}

void SessionController::load(ModelChoice choice) {
  loading_ = true;
  loading_choice_ = choice;
  load_share_ = 0;
  engine_.load(std::move(choice));
  Q_EMIT status_changed();
}

void SessionController::set_backend(const std::string& name) {
  if (name == backend_.name) return;
  backend_.name = name;
  if (loading_) {
    loading_choice_.backend = backend_;
    return load(loading_choice_);
  }
  Q_EMIT status_changed();
}

void SessionController::reload_model() {
  if (model_) load({.model = model_->file->path(), .backend = backend_, .kv = std::nullopt});
}

void SessionController::cancel_load() {
  if (loading_) engine_.cancel_load();
}

void SessionController::open_session(const std::string& path, int64_t run) {
  const uint64_t tag = ++open_tag_;
  ++n_opening_;
  // A thread of its own per request: a slow disk holds up neither the window nor a newer request.
  aside_.run([path, run] { return open_stored_run(path, run); },
             [this, tag](Result<StoredRun> answer) {
               --n_opening_;
               if (tag == open_tag_ && answer) {
                 show_stored(std::move(*answer));
               } else if (tag == open_tag_) {
                 Q_EMIT failed(text_of(answer.error().message));
               }
               Q_EMIT status_changed();
             });
  Q_EMIT status_changed();
}

void SessionController::show_stored(StoredRun run) {
  engine_.stop();
  running_ = awaiting_start_ = shows_last_run_ = false;
  ring_.reset();
  recorder_.reset();
  ++replay_tag_;
  replay_.reset();
  replay_ring_.reset();
  drop_fetcher();
  mode_ = Mode::kStored;
  session_path_ = run.path;
  stored_tokenizer_ = std::move(run.tokenizer);
  stored_tokens_ = std::move(run.tokens);
  stored_events_ = std::move(run.events);
  n_dropped_ = 0;
  history_.reset(run.info);
  for (const Token& token : stored_tokens_) history_.add_token(token);
  for (const RunEvent& event : stored_events_) history_.add_event(event);
  for (const Frame& frame : run.skeleton) history_.add_frame(frame);
  mass_pager_.reset();
  fetcher_.emplace(std::move(run.source));
  rows_.run_changed();
  const ThemeKind theme = view_.theme;
  const std::vector<PinnedHead> pins = view_.pins;
  view_ = ViewState{};
  view_.theme = theme;
  view_.pins = pins;
  notes_.open(session_path_, run.info.run, std::move(run.notes));
  Q_EMIT run_opened();
  Q_EMIT view_changed();
}

void SessionController::generate(GenerateRequest request) {
  if (!model_) return Q_EMIT failed(tr("No model is open yet: open one, or choose one in the library."));
  request.max_session_bytes = kMaxSessionBytes;
  request.level = level_;
  if (request.go_on) {
    const std::string why = request.forced ? cannot_read_on() : request.text.empty() ? cannot_go_on() : no_next_turn();
    if (!why.empty()) return Q_EMIT failed(tr("The run cannot go on: %1.").arg(text_of(why)));
    request.session_path = session_path_;
  } else if (request.other_exit) {
    request.session_path = session_path_;
  } else if (request.record) {
    const auto path = new_session_path(model_->file->name());
    if (!path) return Q_EMIT failed(text_of(path.error().message));
    request.session_path = path->string();
  }
  const int64_t n_removed = request.go_on ? 0 : purge_sessions(max_sessions_bytes_, session_path_);
  if (n_removed > 0) {
    const QString bound = QString::number(max_sessions_bytes_ >> 30);
    Q_EMIT noticed(
        tr("%n oldest unnamed session(s) removed: together they passed %1 GiB.", "", static_cast<int>(n_removed))
            .arg(bound));
  }
  end_replay();
  ++open_tag_;  // a session that is still being opened is not wanted any more
  awaiting_start_ = true;
  if (!request.go_on) {
    shows_last_run_ = false;  // the engine lets go of the one before, and of a row that is under way
    rows_.request_dropped();
  }
  request.tag = ++last_tag_;
  progress_ = {};
  engine_.generate(std::move(request));
  Q_EMIT status_changed();
}

void SessionController::run_with_exit(const WhatIf& what) {
  if (session_path_.empty()) return Q_EMIT failed(tr("This run was not recorded, so it cannot be run again."));
  if (!is_runs_model()) {
    return Q_EMIT failed(
        tr("The model of this run is not open; open it first: %1").arg(text_of(history_.info().model_name)));
  }
  GenerateRequest request;
  request.other_exit = GenerateRequest::OtherExit{history_.info().run, {what.rule, what.threshold}};
  generate(std::move(request));
}

void SessionController::run_or_pause() {
  if (running_) {
    paused_ = !paused_;
    paused_ ? engine_.control().pause() : engine_.control().resume();
    Q_EMIT view_changed();  // at rest, the newest token's exact row is wanted
  } else if (mode_ == Mode::kReplay && replay_playing()) {
    replay_wanted_ = false;
    if (replay_) replay_->pause();
  } else if (can_replay()) {
    start_replay();
  }
  Q_EMIT status_changed();
}

void SessionController::step() {
  if (running_) {
    if (!paused_) engine_.control().pause();
    paused_ = true;
    engine_.control().step();
  } else if (mode_ == Mode::kReplay) {
    replay_wanted_ = false;
    if (replay_) replay_->step();
  } else if (mode_ == Mode::kStored || mode_ == Mode::kLive) {
    apply(move_step(history_, view_, 1));
  }
  Q_EMIT status_changed();
}

void SessionController::stop() {
  if (running_ || awaiting_start_) {
    engine_.stop();
    // Where the engine had not begun, there is nothing to end.
    awaiting_start_ = false;
  } else if (feeding_again()) {
    rows_.stop();
    Q_EMIT view_changed();
  } else {
    end_replay();
  }
  Q_EMIT status_changed();
}

void SessionController::set_live_rate(double tokens_per_s) { engine_.set_rate(tokens_per_s); }

void SessionController::set_replay_speed(double times) {
  replay_speed_ = times;
  if (replay_) replay_->set_speed(times);
}

void SessionController::start_replay() {
  replay_wanted_ = true;
  if (mode_ == Mode::kReplay) {
    if (replay_) replay_->play();
    return;
  }
  if (mode_ == Mode::kLive) {
    stored_tokens_.assign(history_.tokens().begin(), history_.tokens().end());
    stored_events_.assign(history_.events().begin(), history_.events().end());
  }
  // From the chosen step on; from the start where the end is shown.
  const Selection now = resolve(history_, view_);
  const bool at_end = view_.follow || now.step + 1 >= history_.n_processed();
  const int64_t from = at_end ? 0 : now.step;
  ensure_fetcher();
  replay_ring_ = std::make_shared<FrameRing>(kReplayRingBatches, kReplayRingBytes);
  mode_ = Mode::kReplay;
  history_.reset(RunInfo(history_.info()));
  for (const Token& token : stored_tokens_) {
    if (token.step < from) history_.add_token(token);
  }
  view_.follow = true;
  view_.text_top.reset();
  const uint64_t tag = ++replay_tag_;
  aside_.run(
      [path = session_path_, run = history_.info().run, ring = replay_ring_] { return Replay::open(path, run, ring); },
      [this, tag, from](Result<std::unique_ptr<Replay>> opened) { replay_opened(std::move(opened), tag, from); });
  Q_EMIT view_changed();
}

void SessionController::replay_opened(Result<std::unique_ptr<Replay>> opened, uint64_t tag, int64_t from) {
  if (tag != replay_tag_) return;  // ended, or another was begun, before it was open
  if (!opened) {
    end_replay();
    return Q_EMIT failed(text_of(opened.error().message));
  }
  replay_ = std::move(*opened);
  replay_->set_speed(replay_speed_);
  replay_->seek(from);
  if (replay_wanted_) replay_->play();
  Q_EMIT status_changed();
}

void SessionController::end_replay() {
  if (mode_ != Mode::kReplay) return;
  ++replay_tag_;
  replay_wanted_ = false;
  replay_.reset();
  drain_ring();
  replay_ring_.reset();
  for (const Token& token : stored_tokens_) history_.add_token(token);
  for (const RunEvent& event : stored_events_) history_.add_event(event);
  mode_ = Mode::kStored;
  Q_EMIT view_changed();
}

void SessionController::save_as(const std::filesystem::path& target) {
  if (session_path_.empty()) return Q_EMIT failed(tr("There is nothing to save: this run was not recorded."));
  save_target_ = target;
  if (running_) {
    Q_EMIT noticed(tr("The session will be saved when the run ends: %1").arg(text_of(target.string())));
  } else {
    finish_save();
  }
}

void SessionController::finish_save() {
  if (!save_target_ || notes_.busy()) return;  // while a note is being written the file stays where it is
  const std::filesystem::path target = *save_target_;
  save_target_.reset();
  end_replay();
  mass_pager_.reset();
  drop_fetcher();  // its connection would hold the old name
  const Result<void> saved = save_session_as(session_path_, target);
  if (!saved) return Q_EMIT failed(text_of(saved.error().message));
  session_path_ = target.string();
  notes_.move_to(session_path_);
  Q_EMIT noticed(tr("Saved: %1").arg(text_of(session_path_)));
  Q_EMIT library_changed();
  Q_EMIT status_changed();
}

std::string SessionController::why_not_live() const {
  if (running_ || awaiting_start_) return "it is still being generated";
  if (!shows_last_run_) {
    return "the engine does not hold it any more; the command line goes on with one (orrery run --continue)";
  }
  return {};
}

std::string SessionController::cannot_read_on() const {
  return (running_ || awaiting_start_) && shows_last_run_ ? std::string() : why_not_live();
}

std::string SessionController::cannot_go_on() const {
  const std::string why = why_not_live();
  return why.empty() ? cannot_go_on_ : why;
}

std::string SessionController::no_next_turn() const {
  const std::string why = why_not_live();
  return why.empty() ? no_next_turn_ : why;
}

// What a first and a further turn have in common.
void SessionController::take_live(const engine_event::RunStarted& started) {
  live_tag_ = started.tag;
  mode_ = Mode::kLive;
  awaiting_start_ = false;
  running_ = true;
  paused_ = false;
  ring_ = started.ring;
  recorder_ = started.recorder;
  session_path_ = started.session_path;
  mass_pager_.reset();
  drop_fetcher();  // a recorder and a reader that was there before it make two files of a closed session
  shows_last_run_ = true;
}

void SessionController::begin_live(const engine_event::RunStarted& started) {
  // Stopped, or replaced by a session or a newer run, before it began.
  if (!awaiting_start_ || started.tag != last_tag_) {
    if (started.goes_on) shows_last_run_ = false;  // the engine has gone beyond what the screen holds
    return;
  }
  take_live(started);
  if (started.goes_on) {
    apply(Follow{true});
    return Q_EMIT run_went_on();
  }
  stored_tokenizer_.reset();
  n_dropped_ = 0;
  notes_.open(session_path_, started.info.run, {});
  history_.reset(started.info);
  const ThemeKind theme = view_.theme;
  const std::string token_scalar = view_.token_scalar;
  const std::string head_scalar = view_.head_scalar;
  const Selection kept{.layer = view_.selected.layer, .head = view_.selected.head, .expert = view_.selected.expert};
  const std::vector<PinnedHead> pins = view_.pins;
  rows_.run_changed();
  view_ = ViewState{};
  view_.pins = pins;
  view_.theme = theme;
  view_.token_scalar = token_scalar;
  view_.head_scalar = head_scalar;
  view_.selected = kept;
  Q_EMIT run_opened();
  Q_EMIT library_changed();
}

void SessionController::end_live(const engine_event::RunEnded& ended) {
  if (ended.recording_error) Q_EMIT failed(text_of(ended.recording_error->message));
  if (ended.error) {
    Q_EMIT failed(text_of(ended.error->message));
  } else {
    const double rate = ended.decode_s > 0 ? static_cast<double>(ended.n_decoded) / ended.decode_s : 0;
    Q_EMIT noticed(tr("Run ended (%1): %2 tokens, %3 tokens/s.")
                       .arg(text_of(ended.reason))
                       .arg(ended.n_decoded)
                       .arg(rate, 0, 'f', 1));
  }
  if (ended.tag == last_tag_) awaiting_start_ = false;
  if (!running_ || ended.tag != live_tag_) return;
  while (drain_ring()) {
  }
  n_dropped_ = ended.n_dropped;
  cannot_go_on_ = ended.cannot_go_on;
  no_next_turn_ = ended.no_next_turn;
  running_ = false;
  ring_.reset();
  recorder_.reset();
  Q_EMIT view_changed();  // at rest, the newest token's exact row is wanted
  finish_save();
  Q_EMIT library_changed();
}

void SessionController::handle(const EngineEvent& event) {
  if (const auto* found = std::get_if<engine_event::BackendsFound>(&event)) {
    no_cuda_ = found->no_cuda;
  } else if (const auto* progress = std::get_if<engine_event::LoadProgress>(&event)) {
    loading_ = true;  // also after one that a newer one replaced has failed
    load_share_ = progress->share;
  } else if (const auto* loaded = std::get_if<engine_event::ModelLoaded>(&event)) {
    loading_ = false;
    model_ = loaded->model;
    has_chat_ = loaded->has_chat;
    no_chat_ = loaded->no_chat;
    no_system_ = loaded->no_system;
    default_system_ = loaded->default_system;
    shows_last_run_ = false;  // the engine let go of it
    rows_.model_changed();
    if (!model_->remark.empty()) Q_EMIT noticed(text_of(model_->remark));
    Q_EMIT view_changed();  // rows of a recorded run may now be had
  } else if (const auto* refused = std::get_if<engine_event::LoadFailed>(&event)) {
    loading_ = false;
    if (refused->none_is_open) {
      model_.reset();
      shows_last_run_ = false;
    }
    if (refused->error.code != ErrorCode::kCancelled) Q_EMIT failed(text_of(refused->error.message));
  } else if (const auto* started = std::get_if<engine_event::RunStarted>(&event)) {
    begin_live(*started);
  } else if (const auto* going = std::get_if<RunProgress>(&event)) {
    progress_ = *going;
  } else if (const auto* ended = std::get_if<engine_event::RunEnded>(&event)) {
    end_live(*ended);
  } else if (const auto* fed = std::get_if<engine_event::RowProgress>(&event)) {
    rows_.take(*fed);
  } else if (const auto* recalled = std::get_if<engine_event::RowRecalled>(&event)) {
    take_row(*recalled);
  }
  Q_EMIT status_changed();
}

bool SessionController::drain_ring() {
  FrameRing* ring = mode_ == Mode::kReplay ? replay_ring_.get() : ring_.get();
  if (ring == nullptr) return false;
  bool any = false;
  const auto start = std::chrono::steady_clock::now();
  while (const SharedBatch batch = ring->try_pop()) {
    history_.add_batch(*batch);
    ++n_batches_taken_;
    any = true;
    if (std::chrono::steady_clock::now() - start > kDrainBudget) break;
  }
  return any;
}

bool SessionController::tick() {
  EngineEvent event;
  bool changed = false;
  while (engine_.poll(event)) {
    handle(event);
    changed = true;
  }
  changed |= drain_ring();
  if (fetcher_) {
    const int64_t n_answered = fetcher_->n_answered();
    changed |= fetcher_->take(history_);
    if (fetcher_->n_answered() != n_answered) ask_for_missing();
  }
  if (mass_pager_) changed |= mass_pager_->take(history_);
  if (save_target_ && !running_) finish_save();
  if (mode_ == Mode::kReplay && replay_) {
    const ReplayState state = replay_->state();
    if (state.error) {
      const std::string message = state.error->message;
      end_replay();
      Q_EMIT failed(text_of(message));
    }
  }
  if (changed) history_.set_cursor(resolve(history_, view_).step);
  return changed;
}

void SessionController::set_history_bytes(size_t max_bytes) {
  history_bytes_ = max_bytes;
  history_.set_max_bytes(frame_bytes());
}

void SessionController::set_texture_bytes(size_t n_bytes) {
  if (n_bytes == texture_bytes_) return;
  texture_bytes_ = n_bytes;
  history_.set_max_bytes(frame_bytes());
}

// A quarter at least: without Frames there is nothing to draw.
size_t SessionController::frame_bytes() const {
  return std::max(history_bytes_ / 4, history_bytes_ - std::min(history_bytes_, texture_bytes_));
}

void SessionController::ensure_fetcher() {
  if (fetcher_ || opening_source_ || session_path_.empty()) return;
  if (std::chrono::steady_clock::now() - source_failed_at_ < kTryAgain) return;
  opening_source_ = true;
  aside_.run([path = session_path_] { return open_frame_source(path); },
             [this, tag = ++source_tag_](Result<std::unique_ptr<FrameSource>> source) {
               if (tag != source_tag_) return;
               opening_source_ = false;
               if (source) {
                 fetcher_.emplace(std::move(*source));
                 Q_EMIT view_changed();  // the views ask for what they lack
               } else {
                 source_failed_at_ = std::chrono::steady_clock::now();
               }
             });
}

void SessionController::drop_fetcher() {
  ++source_tag_;
  opening_source_ = false;
  fetcher_.reset();
}

void SessionController::want(const View& view) {
  if (mode_ == Mode::kEmpty) return;
  rows_.want(view, row_sources());
  if (const auto mass = view.wanted_mass(history_, view_)) want_mass_map(*mass);
  for (const Wanted& wanted : view.wanted(history_, view_)) {
    // What no recording has is not asked for.
    if (wanted.probe->level == Level::kRecomputed || !is_offered(*wanted.probe, history_.info().config)) continue;
    const int64_t cell = steps_per_cell(wanted.level);
    const int64_t end = std::min(wanted.end, history_.n_processed() / cell * cell);
    if (end > wanted.begin) gathered_.push_back({wanted.probe, wanted.begin, end, wanted.level});
  }
}

RowSources SessionController::row_sources() const {
  const bool is_held = mode_ == Mode::kLive && shows_last_run_;
  const bool is_at_rest = mode_ == Mode::kStored || (mode_ == Mode::kLive && !shows_last_run_ && !running_);
  return {.is_held = is_held,
          .is_growing = running_ && !paused_,
          .is_replayed = mode_ == Mode::kReplay,
          .is_loading = fetching(),
          .may_be_fed = is_at_rest && !awaiting_start_,
          .is_its_model = is_runs_model(),
          .session = session_path_};
}

// The map of the head that is looked at: of what comes, of what is held, and of what is in the session alone.
void SessionController::want_mass_map(const WantedMass& wanted) {
  if (history_.gather_mass(wanted.layer, wanted.head, kGatheredSteps) || session_path_.empty()) return;
  if (!mass_pager_) {
    mass_pager_.emplace([path = session_path_]() -> std::unique_ptr<FrameSource> {
      auto source = open_frame_source(path);
      return source ? std::move(*source) : nullptr;
    });
  }
  mass_pager_->want(history_, wanted);
}

void SessionController::take_row(const engine_event::RowRecalled& recalled) {
  const std::string remark = rows_.take(recalled);
  if (!remark.empty()) {
    Q_EMIT noticed(tr("Exact rows of this run are computed under %1: last digits may differ from the recording.")
                       .arg(text_of(remark)));
  }
  Q_EMIT view_changed();
}

void SessionController::want_inspector() {
  on_screen_ = gathered_;
  if (mode_ == Mode::kEmpty || !fetcher_) return;
  const int64_t step = resolve(history_, view_).step;
  if (step < 0 || step >= history_.n_processed()) return;
  for (const Probe* probe : offered_probes(history_.info().config)) {
    if (probe->level < Level::kFull) gathered_.push_back({probe, step, step + 1});
  }
}

void SessionController::fetch_wanted() {
  wanted_ = std::exchange(gathered_, {});
  history_.set_on_screen(on_screen_);
  // Live, nothing is missing until something was dropped or evicted: the file is opened then.
  const bool lacks = std::ranges::any_of(on_screen_, [this](const FrameRange& range) {
    return !history_.missing(*range.probe, range.begin, range.end, range.level).empty();
  });
  if (!fetcher_ && lacks) ensure_fetcher();
  ask_for_missing();
}

void SessionController::ask_for_missing() {
  if (!fetcher_ || mode_ == Mode::kEmpty) return;
  fetcher_->ask(history_, wanted_, resolve(history_, view_).step, running_, FrameFetcher::Clock::now());
}

}  // namespace orrery
