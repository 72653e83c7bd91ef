#include "app/window/engine_thread.h"

#include <algorithm>

#include "app/repeated_prompt.h"
#include "engine/chat_template.h"

namespace orrery {
namespace {

// What the screen may fall behind before steps are dropped: some seconds of a small model.
constexpr size_t kScreenRingBatches = 256;
constexpr size_t kScreenRingBytes = size_t{128} << 20;

// What is kept of a run's past beside its cache, so that exact rows can be had of any token: keys that have left
// windows, or forks of the states. On a device, no more than an eighth of what is free.
constexpr size_t kPastBytes = size_t{512} << 20;

size_t past_bytes(const OpenedModel& opened) {
  const std::optional<size_t> free_bytes = opened.model->backend()->free_bytes();
  return free_bytes ? std::min(kPastBytes, *free_bytes / 8) : kPastBytes;
}

// Tokens that are computed again at once: while a run goes on, about as many as it takes in the time of its own one.
constexpr int64_t kRecallRowsBetween = 8;
constexpr int64_t kRecallRowsIdle = 64;

}  // namespace

EngineThread::EngineThread(BackendMakers backends)
    : backends_(std::move(backends)), thread_([this] { thread_main(); }) {}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    cancel_load_.store(true);
    control_.stop();
  }
  changed_.notify_all();
  thread_.join();
}

void EngineThread::load(ModelChoice choice) {
  {
    const std::lock_guard lock(mutex_);
    load_ = std::move(choice);
    cancel_load_.store(true);  // of the one in progress; cleared when this one begins
    control_.stop();
  }
  changed_.notify_all();
}

void EngineThread::generate(GenerateRequest request) {
  {
    const std::lock_guard lock(mutex_);
    generate_ = std::move(request);
    control_.stop();
  }
  changed_.notify_all();
}

void EngineThread::stop() {
  const std::lock_guard lock(mutex_);
  generate_.reset();
  control_.stop();
}

void EngineThread::want_row(const RowRequest& request) {
  {
    const std::lock_guard lock(mutex_);
    wanted_row_ = request;
  }
  changed_.notify_all();
  control_.wake();
}

void EngineThread::cancel_row() {
  {
    const std::lock_guard lock(mutex_);
    wanted_row_.reset();
    cancel_row_ = true;
  }
  changed_.notify_all();
}

void EngineThread::pin_heads(std::vector<PinnedHead> heads) {
  {
    const std::lock_guard lock(mutex_);
    new_pins_ = std::move(heads);
  }
  changed_.notify_all();
  control_.wake();
}

bool EngineThread::poll(EngineEvent& event) {
  const std::lock_guard lock(mutex_);
  if (events_.empty()) return false;
  event = std::move(events_.front());
  events_.pop_front();
  return true;
}

void EngineThread::post(EngineEvent event) {
  const std::lock_guard lock(mutex_);
  // Progress replaces progress that nobody has looked at yet: the queue stays short while the UI is held up.
  const bool is_progress = std::holds_alternative<RunProgress>(event) ||
                           std::holds_alternative<engine_event::LoadProgress>(event) ||
                           std::holds_alternative<engine_event::RowProgress>(event);
  if (is_progress && !events_.empty() && event.index() == events_.back().index()) {
    events_.back() = std::move(event);
  } else {
    events_.push_back(std::move(event));
  }
}

// Sleeps in slices, so that stopping and another pace are heard.
void EngineThread::wait_for_pace() {
  constexpr std::chrono::milliseconds kSlice{20};
  while (!control_.stopped()) {
    const double rate = rate_.load();
    const auto now = std::chrono::steady_clock::now();
    if (rate <= 0) break;
    const auto due = last_token_ + std::chrono::microseconds(static_cast<int64_t>(1e6 / rate));
    if (now >= due) break;
    if (recall(kRecallRowsBetween)) continue;
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(due - now, kSlice));
  }
  last_token_ = std::chrono::steady_clock::now();
}

void EngineThread::thread_main() {
  const Result<void> cuda = backends_.find_cuda();
  post(engine_event::BackendsFound{cuda ? "" : cuda.error().message});
  while (true) {
    std::optional<ModelChoice> load;
    std::optional<GenerateRequest> generate;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] {
        const bool is_recalling = row_under_way() != nullptr;  // left by a run that has ended meanwhile
        return quit_ || load_ || generate_ || wanted_row_ || new_pins_ || is_recalling;
      });
      if (quit_) return;
      if (load_) {
        load = std::exchange(load_, std::nullopt);
        cancel_load_.store(false);
      } else if (generate_) {
        generate = std::exchange(generate_, std::nullopt);
        control_.reset();
      }
    }
    if (load) {
      do_load(*load);
    } else if (generate) {
      do_generate(*generate);
    } else {
      take_pins();
      while (recall(kRecallRowsIdle) && !has_other_work()) {
      }
    }
  }
}

// A device's memory may not hold two models: the open one goes, once the file has shown that it is a model.
void EngineThread::make_room_for(const ModelChoice& choice) {
  if (!model_ || !model_->model->backend()->free_bytes()) return;
  const Result<std::shared_ptr<const ModelFile>> file = ModelFile::open(choice.model);
  if (!file || !read_config(**file)) return;
  forget_rows();
  run_.reset();
  generator_.reset();
  model_.reset();
}

void EngineThread::do_load(const ModelChoice& choice) {
  make_room_for(choice);
  const auto go_on = [this](double share) {
    post(engine_event::LoadProgress{share});
    return !cancel_load_.load();
  };
  Result<OpenedModel> opened = open_model(choice, go_on, backends_);
  if (!opened) return post(engine_event::LoadFailed{opened.error(), !model_});
  forget_rows();
  run_.reset();  // it uses the generator and the model
  generator_.reset();
  model_ = *opened;
  choice_ = choice;
  has_own_loop_ = true;
  generator_ = std::make_unique<Generator>(model_->model, model_->kv);
  generator_->keep_past(past_bytes(*model_));
  const Backend& backend = *model_->model->backend();
  engine_event::ModelLoaded loaded{.model = {.file = model_->file,
                                             .tokenizer = model_->tokenizer,
                                             .fingerprint = model_->fingerprint,
                                             .backend = backend.name(),
                                             .device = backend.description(),
                                             .remark = model_->remark},
                                   .has_chat = false,
                                   .no_chat = {},
                                   .no_system = {},
                                   .default_system = {}};
  if (model_->tokenizer == nullptr) {
    loaded.no_chat = model_->no_tokenizer;
  } else if (const auto chat = ChatTemplate::from_tokenizer(*model_->tokenizer, model_->file->name()); chat) {
    loaded.has_chat = true;
    loaded.no_system = chat->no_system();
    loaded.default_system = chat->default_system();
  } else {
    // What is usual for a base model is no error, and the command line's advice does not help here.
    loaded.no_chat = chat.error().code == ErrorCode::kNotFound
                         ? "This model has no chat format: it goes on from the text as it stands."
                         : chat.error().message;
  }
  post(std::move(loaded));
}

void EngineThread::do_generate(const GenerateRequest& request) {
  after_token_ = request.after_token;
  const Result<RunResult> result = request.go_on        ? run_on(request)
                                   : request.other_exit ? run_with_exit(request)
                                                        : run_new(request);
  engine_event::RunEnded ended;
  ended.tag = request.tag;
  if (run_) {
    if (const Result<void> recorded = run_->pause_recording(); !recorded) ended.recording_error = recorded.error();
    ended.n_dropped = run_->n_dropped();
  }
  if (result) {
    ended.reason = stop_reason_name(result->reason);
    ended.prefill_s = result->prefill_s;
    ended.decode_s = result->decode_s;
    ended.n_decoded = result->n_decoded;
  } else {
    ended.error = result.error();
  }
  say_what_can_follow(ended);
  post(std::move(ended));
}

RunSinks EngineThread::sinks() {
  RunSinks sinks;
  sinks.publish = [this](const SharedBatch&) { n_passes_.fetch_add(1, std::memory_order_relaxed); };
  sinks.meanwhile = [this] {
    take_pins();
    return recall(kRecallRowsBetween);
  };
  sinks.on_progress = [this](const RunProgress& progress) { post(progress); };
  sinks.on_token = [this](const Token&, const std::string&) {
    if (after_token_) after_token_();
    wait_for_pace();
  };
  return sinks;
}

void EngineThread::say_started(const GenerateRequest& request, std::shared_ptr<FrameRing> screen) {
  post(engine_event::RunStarted{request.tag, request.go_on, run_info(run_->record()), std::move(screen),
                                run_->recorder(), run_->recorder() ? request.session_path : ""});
}

bool EngineThread::has_other_work() {
  const std::lock_guard lock(mutex_);
  return quit_ || load_ || generate_;
}

void EngineThread::take_pins() {
  {
    const std::lock_guard lock(mutex_);
    if (!new_pins_) return;
    pins_ = *std::exchange(new_pins_, std::nullopt);
  }
  // A recording that fails of this says so when it ends.
  if (run_) (void)run_->pin(pins_);
}

// They look into the generator of a run, or hold the model.
void EngineThread::forget_rows() {
  recall_.reset();
  recorded_rows_.reset();
}

RowRecall* EngineThread::row_under_way() {
  if (recall_ && recall_->request()) return recall_.get();
  if (recorded_rows_ && recorded_rows_->rows().request()) return &recorded_rows_->rows();
  return nullptr;
}

Result<void> EngineThread::begin_row(const RowRequest& request) {
  if (!request.session.empty()) {
    if (!model_) return Error{ErrorCode::kNotFound, "no model is open"};
    if (!recorded_rows_ || !recorded_rows_->is_of(request)) {
      recorded_rows_.reset();
      ORRERY_ASSIGN_OR_RETURN(recorded_rows_, RecordedRows::open(request, *model_, past_bytes(*model_)));
    }
    return recorded_rows_->begin(request);
  }
  if (!run_ || run_->record().run != request.run) {
    return Error{ErrorCode::kNotFound, "the engine does not hold this run any more"};
  }
  if (!recall_) recall_ = std::make_unique<RowRecall>(*generator_);
  return recall_->begin(request, run_->ids(), run_->record().settings.batches);
}

// Takes up a newer request, or that none is wanted any more.
void EngineThread::take_row_request() {
  std::optional<RowRequest> newer;
  bool cancel = false;
  {
    const std::lock_guard lock(mutex_);
    newer = std::exchange(wanted_row_, std::nullopt);
    cancel = std::exchange(cancel_row_, false);
  }
  if (!newer && !cancel) return;
  if (RowRecall* const rows = row_under_way()) rows->cancel();
  recall_s_ = 0;
  if (!newer) return;
  if (const Result<void> begun = begin_row(*newer); !begun) answer(*newer, begun.error());
}

// Does a part of the row that is wanted; true where there is more to do.
bool EngineThread::recall(int64_t max_rows) {
  const auto start = std::chrono::steady_clock::now();
  take_row_request();
  RowRecall* const rows = row_under_way();
  if (rows == nullptr) return false;
  const RowRequest request = *rows->request();
  Result<std::optional<Frame>> row = rows->go_on(max_rows);
  recall_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!row) rows->cancel();
  if (row && !*row) {
    post(engine_event::RowProgress{request, rows->n_done(), rows->n_total()});
    return true;
  }
  answer(request, std::move(row));
  return false;
}

void EngineThread::answer(const RowRequest& request, Result<std::optional<Frame>> row) {
  engine_event::RowRecalled recalled{.request = request, .frame = {}, .why = {}, .remark = {}, .elapsed_s = recall_s_};
  if (!row) {
    recalled.why = row.error().message;
  } else {
    recalled.frame = std::move(*row);
    if (!request.session.empty() && !recorded_rows_->other_conditions().empty()) {
      recalled.remark = recorded_rows_->other_conditions().front();
    }
  }
  post(std::move(recalled));
}

Result<RunResult> EngineThread::run_new(const GenerateRequest& request) {
  forget_rows();
  run_.reset();
  if (!model_) return Error{ErrorCode::kNotFound, "no model is loaded yet"};
  ORRERY_RETURN_IF_ERROR(request.sampler.validate());
  if (!has_own_loop_) ORRERY_RETURN_IF_ERROR(set_loop(choice_.loop));
  has_own_loop_ = true;
  ORRERY_ASSIGN_OR_RETURN(PreparedPrompt prompt,
                          request.forced ? prepare_reading(request.text, *model_, true)
                                         : prepare_prompt(request.kind, request.text, *model_, request.system));
  RunRequest run_request;
  run_request.n_new_tokens = request.n_new_tokens;
  run_request.sampler = request.sampler;
  run_request.schedule.level = request.level;
  run_request.schedule.pinned_steps = request.exact_steps;
  take_pins();
  run_request.schedule.pin(0, pins_);
  run_request.batches =
      plan_batches(*generator_, std::ssize(prompt.tokens), run_request.schedule, run_request.extra, false);
  run_request.prompt = std::move(prompt.tokens);
  RunRecord record = make_run_record(*model_, prompt.record, run_request, false);
  return begin_run(request, std::move(record), std::move(run_request));
}

// The open model is placed again with another loop: what a Model is made of never changes.
Result<void> EngineThread::set_loop(const LoopRequest& loop) {
  ModelChoice choice = choice_;
  choice.model = model_->file->path();
  choice.kv = model_->kv;
  choice.loop = loop;
  const bool on_device = model_->model->backend()->free_bytes().has_value();
  generator_.reset();
  // A device may not hold it twice.
  if (on_device) model_->model.reset();
  const auto go_on = [this](double) { return !control_.stopped(); };
  Result<OpenedModel> opened = open_model(choice, go_on, backends_);
  if (opened) model_ = std::move(*opened);
  if (model_->model == nullptr) {
    model_.reset();
    post(engine_event::LoadFailed{opened.error(), true});
  } else {
    generator_ = std::make_unique<Generator>(model_->model, model_->kv);
    generator_->keep_past(past_bytes(*model_));
  }
  return opened ? Result<void>{} : opened.error();
}

Result<RunResult> EngineThread::run_with_exit(const GenerateRequest& request) {
  forget_rows();
  run_.reset();
  if (!model_) return Error{ErrorCode::kNotFound, "no model is loaded yet"};
  ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<SessionReader> reader, SessionReader::open(request.session_path));
  ORRERY_ASSIGN_OR_RETURN(const RunRecord parent, reader->run(request.other_exit->parent));
  if (parent.fingerprint != model_->fingerprint) {
    return Error{ErrorCode::kMismatch,
                 "the run was made with another model than the open one; open it first: " + parent.model_name};
  }
  ORRERY_ASSIGN_OR_RETURN(RepeatedPrompt repeated, repeat_prompt(*reader, parent));
  reader.reset();
  LoopRequest loop = LoopRequest::of(parent.settings.loop);
  loop.exit = request.other_exit->exit;
  has_own_loop_ = false;
  ORRERY_RETURN_IF_ERROR(set_loop(loop));
  RunRequest& run_request = repeated.request;
  run_request.batches = plan_batches(*generator_, std::ssize(run_request.prompt), run_request.schedule,
                                     run_request.extra, repeated.one_step);
  RunRecord record = make_run_record(*model_, repeated.prompt, run_request, repeated.one_step);
  record.parent = parent.run;
  return begin_run(request, std::move(record), std::move(run_request));
}

Result<RunResult> EngineThread::begin_run(const GenerateRequest& request, RunRecord record, RunRequest run_request) {
  RecordedRun::Where where;
  if (request.record) where = {.path = request.session_path, .store = {.max_bytes = request.max_session_bytes}};
  auto run = std::make_unique<RecordedRun>(*model_, *generator_, std::move(record), std::move(run_request),
                                           std::move(where), sinks(), control_);
  auto screen = std::make_shared<FrameRing>(kScreenRingBatches, kScreenRingBytes);
  ORRERY_RETURN_IF_ERROR(run->begin(screen));
  run_ = std::move(run);
  say_started(request, std::move(screen));
  return run_->start();
}

Result<RunResult> EngineThread::run_on(const GenerateRequest& request) {
  if (!run_) return Error{ErrorCode::kNotFound, "there is no run to go on with; start one"};
  std::vector<Token> given;
  std::optional<std::string> text;
  if (request.forced) {
    ORRERY_ASSIGN_OR_RETURN(PreparedPrompt reading, prepare_reading(request.text, *model_, false));
    given = std::move(reading.tokens);
  } else if (!request.text.empty()) {
    text = request.text;
    ORRERY_ASSIGN_OR_RETURN(given, prepare_turn(request.text, *model_, run_->ids().back()));
  }
  if (!request.session_path.empty()) run_->move_to(request.session_path);
  auto screen = std::make_shared<FrameRing>(kScreenRingBatches, kScreenRingBytes);
  ORRERY_RETURN_IF_ERROR(run_->resume(screen));
  say_started(request, std::move(screen));
  return run_->go_on(std::move(given), request.n_new_tokens, text);
}

void EngineThread::say_what_can_follow(engine_event::RunEnded& ended) const {
  const int64_t context = model_ ? model_->model->config().context_length : 0;
  if (!run_) {
    ended.cannot_go_on = ended.no_next_turn = "there is no run to go on with";
  } else if (context > 0 && std::ssize(run_->ids()) > context) {
    ended.cannot_go_on = ended.no_next_turn = "the model's context is full: " + std::to_string(context) + " tokens";
  } else {
    if (run_->ended_itself()) ended.cannot_go_on = "the answer ended by itself";
    if (run_->record().prompt.kind != "chat") ended.no_next_turn = "the run is no chat";
  }
}

}  // namespace orrery
