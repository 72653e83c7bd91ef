#include "app/recorded_run.h"

#include <filesystem>

#include "app/build_info.h"

namespace orrery {

RunRecord make_run_record(const OpenedModel& opened, const PromptRecord& prompt, const RunRequest& request,
                          bool one_step) {
  const Backend& backend = *opened.model->backend();
  RunRecord record;
  record.model_name = opened.file->name();
  record.fingerprint = opened.fingerprint;
  record.config = opened.model->config();
  for (int32_t layer = 0; layer < record.config.n_layers(); ++layer) {
    record.layer_labels.push_back(layer_label(record.config, layer));
  }
  record.prompt = prompt;
  record.backend = backend.name();
  record.build = build_id();

  RunSettings& settings = record.settings;
  std::error_code ignored;
  settings.model_path = std::filesystem::absolute(opened.file->path(), ignored).lexically_normal().string();
  settings.threads = backend.n_threads();
  settings.kv = kv_name(opened.kv);
  settings.instruction_set = backend.instruction_set();
  settings.device = backend.description();
  settings.temperature = request.sampler.temperature;
  settings.top_k = request.sampler.top_k;
  settings.top_p = request.sampler.top_p;
  settings.min_p = request.sampler.min_p;
  settings.repeat_penalty = request.sampler.repeat_penalty;
  settings.seed = request.sampler.seed;
  settings.n_new_tokens = request.n_new_tokens;
  settings.one_step = one_step;
  settings.batches = request.batches;
  settings.schedule = request.schedule;
  settings.turns = {{.begin = 0, .given_end = std::ssize(request.prompt), .n_new_tokens = request.n_new_tokens}};
  settings.n_drawn_before = request.n_drawn_before;
  settings.loop = record.config.loop;
  return record;
}

RecordedRun::RecordedRun(const OpenedModel& opened, Generator& generator, RunRecord record, RunRequest request,
                         Where where, RunSinks sinks, RunControl& control)
    : opened_(opened),
      generator_(generator),
      record_(std::move(record)),
      where_(std::move(where)),
      request_(std::move(request)),
      sinks_(std::move(sinks)),
      control_(control) {}

RecordedRun::~RecordedRun() { (void)pause_recording(); }

Result<void> RecordedRun::open_bus(std::shared_ptr<FrameRing> screen) {
  bus_ = std::make_unique<FrameBus>();
  screen_ = screen ? &bus_->add_consumer(std::move(screen), FrameBus::Pressure::kDrop) : nullptr;
  if (where_.path.empty()) return {};
  auto ring = std::make_shared<FrameRing>(kRecorderRingBatches, kRecorderRingBytes);
  RecorderOptions options;
  options.store = where_.store;
  ORRERY_ASSIGN_OR_RETURN(recorder_, Recorder::start(where_.path, ring, std::move(options)));
  bus_->add_consumer(ring, FrameBus::Pressure::kWait);
  return {};
}

Result<void> RecordedRun::begin(std::shared_ptr<FrameRing> screen) {
  ORRERY_RETURN_IF_ERROR(open_bus(std::move(screen)));
  record_.run = 1;
  if (recorder_) {
    ORRERY_ASSIGN_OR_RETURN(record_.run, recorder_->begin_run(record_));
  }
  request_.run = record_.run;
  request_.takes_checkpoints = recorder_ != nullptr;
  RunSinks sinks = sinks_;
  sinks.publish = [this](const SharedBatch& batch) {
    bus_->publish(batch);
    if (sinks_.publish) sinks_.publish(batch);
  };
  loop_ = std::make_unique<RunLoop>(generator_, opened_.tokenizer.get(), request_, std::move(sinks), control_);
  return {};
}

Result<void> RecordedRun::resume(std::shared_ptr<FrameRing> screen) {
  CHECK(bus_ == nullptr, "the recording goes on already");
  std::error_code ignored;
  if (!where_.path.empty() && !std::filesystem::exists(where_.path, ignored)) {
    return Error{ErrorCode::kNotFound,
                 "the run's session is gone, so it cannot go on; start a new run: " + where_.path};
  }
  return open_bus(std::move(screen));
}

Result<RunResult> RecordedRun::keep(Result<RunResult> result) {
  failed_ = !result;
  if (result) last_ = *result;
  return result;
}

Result<RunResult> RecordedRun::start() { return keep(loop_->start()); }

Result<RunResult> RecordedRun::go_on(std::vector<Token> given, int64_t n_new_tokens,
                                     const std::optional<std::string>& text) {
  CHECK(bus_ != nullptr, "the recording is paused");
  const int64_t begin = std::ssize(loop_->ids());
  const int64_t given_end = begin + std::ssize(given);
  const int64_t n_processed = loop_->n_processed();
  const int64_t context = opened_.model->config().context_length;
  if (context > 0 && given_end > context) {
    return Error{ErrorCode::kInvalidArgument, "the chat is too long for " + opened_.file->name() +
                                                  ", whose context holds " + std::to_string(context) +
                                                  " tokens; begin a new one; with this turn it would have " +
                                                  std::to_string(given_end)};
  }
  RunSettings& settings = record_.settings;
  Turn turn{.given = std::move(given), .batches = {}, .n_new_tokens = n_new_tokens, .forced = {}};
  turn.batches = plan_batches(generator_, n_processed, given_end, settings.schedule, {}, settings.one_step);
  // Batches of the turn before that were never fed (it was stopped) are planned anew.
  std::erase_if(settings.batches, [&](const auto& batch) { return batch.first >= n_processed; });
  settings.batches.insert(settings.batches.end(), turn.batches.begin(), turn.batches.end());
  settings.turns.push_back({.begin = begin, .given_end = given_end, .n_new_tokens = n_new_tokens});
  if (text) record_.prompt.turns.push_back(*text);
  if (recorder_) ORRERY_RETURN_IF_ERROR(recorder_->continue_run(record_, n_processed));
  return keep(loop_->go_on(std::move(turn)));
}

Result<void> RecordedRun::pin(const std::vector<PinnedHead>& heads) {
  const int64_t begin = loop_->pin(heads);
  record_.settings.schedule.pin(begin, heads);
  if (recorder_) return recorder_->continue_run(record_, loop_->n_processed());
  return {};
}

Result<void> RecordedRun::pause_recording() {
  if (bus_ == nullptr) return {};
  bus_->close();
  if (screen_ != nullptr) n_dropped_ += screen_->dropped_batches.load();
  screen_ = nullptr;
  const std::shared_ptr<Recorder> recorder = std::move(recorder_);
  recorder_ = nullptr;
  Result<void> ended;
  Result<void> closed;
  if (recorder) {
    const bool stopped = !last_ || last_->reason == StopReason::kStopped;
    ended = recorder->end_run(failed_ ? RunEnd::kFailed : stopped ? RunEnd::kStopped : RunEnd::kComplete);
    status_ = recorder->status();
    closed = recorder->close();
    std::error_code error;
    if (const uintmax_t n_bytes = std::filesystem::file_size(where_.path, error); !error) {
      status_.n_bytes = static_cast<int64_t>(n_bytes);
    }
  }
  bus_.reset();
  if (status_.failure) return *status_.failure;
  return ended ? closed : ended;
}

Result<SessionRun> record_run(const std::string& path, const OpenedModel& opened, Generator& generator,
                              const PromptRecord& prompt, RunRequest request, bool one_step, const RunSinks& sinks,
                              RunControl& control) {
  RunRecord record = make_run_record(opened, prompt, request, one_step);
  RecordedRun recorded(opened, generator, std::move(record), std::move(request), {.path = path, .store = {}}, sinks,
                       control);
  ORRERY_RETURN_IF_ERROR(recorded.begin());
  Result<RunResult> result = recorded.start();
  const Result<void> closed = recorded.pause_recording();
  if (!result) return result.error();
  SessionRun run{.result = std::move(*result), .run = recorded.record().run, .status = recorded.status()};
  if (!run.status.failure && !closed) run.status.failure = closed.error();
  return run;
}

}  // namespace orrery
