#include "app/window/engine_thread.h"

#include <algorithm>

#include "app/recorded_run.h"

namespace orrery {
namespace {

// What the screen may fall behind before steps are dropped: some seconds of a small model.
constexpr size_t kScreenRingBatches = 256;
constexpr size_t kScreenRingBytes = size_t{128} << 20;

// Exact rows of all heads are kept for this many steps; beyond, block mass and the 32 largest.
constexpr int64_t kPinnedSteps = 512;

RunEnd end_of(const Result<RunResult>& result) {
  if (!result) return RunEnd::kFailed;
  return result->reason == StopReason::kStopped ? RunEnd::kStopped : RunEnd::kComplete;
}

}  // namespace

EngineThread::EngineThread() : thread_([this] { thread_main(); }) {}

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
  if (!events_.empty() && event.index() == events_.back().index() &&
      (std::holds_alternative<RunProgress>(event) || std::holds_alternative<engine_event::LoadProgress>(event))) {
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
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(due - now, kSlice));
  }
  last_token_ = std::chrono::steady_clock::now();
}

void EngineThread::thread_main() {
  while (true) {
    std::optional<ModelChoice> load;
    std::optional<GenerateRequest> generate;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return quit_ || load_ || generate_; });
      if (quit_) return;
      if (load_) {
        load = std::exchange(load_, std::nullopt);
        cancel_load_.store(false);
      } else {
        generate = std::exchange(generate_, std::nullopt);
        control_.reset();
      }
    }
    if (load) {
      do_load(*load);
    } else {
      do_generate(*generate);
    }
  }
}

void EngineThread::do_load(const ModelChoice& choice) {
  Result<OpenedModel> opened = open_model(choice, [this](double share) {
    post(engine_event::LoadProgress{share});
    return !cancel_load_.load();
  });
  if (!opened) return post(engine_event::LoadFailed{opened.error()});
  generator_.reset();
  model_ = *opened;
  generator_ = std::make_unique<Generator>(model_->model, model_->kv);
  engine_event::ModelLoaded loaded{.model = *model_, .has_chat = false, .no_chat = {}};
  if (model_->tokenizer == nullptr) {
    loaded.no_chat = model_->no_tokenizer;
  } else if (const auto chat = ChatTemplate::from_tokenizer(*model_->tokenizer, model_->file->name()); chat) {
    loaded.has_chat = true;
  } else {
    loaded.no_chat = chat.error().message;
  }
  post(std::move(loaded));
}

void EngineThread::do_generate(const GenerateRequest& request) {
  Result<engine_event::RunEnded> ended = run(request);
  if (!ended) {
    engine_event::RunEnded failed;
    failed.error = ended.error();
    ended = std::move(failed);
  }
  ended->tag = request.tag;
  post(std::move(*ended));
}

Result<std::shared_ptr<Recorder>> EngineThread::start_recorder(const GenerateRequest& request, FrameBus& bus) {
  auto ring = std::make_shared<FrameRing>(kRecorderRingBatches, kRecorderRingBytes);
  RecorderOptions options;
  options.store.max_bytes = request.max_session_bytes;
  ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<Recorder> recorder,
                          Recorder::start(request.session_path, ring, std::move(options)));
  bus.add_consumer(ring, FrameBus::Pressure::kWait);
  return recorder;
}

Result<engine_event::RunEnded> EngineThread::run(const GenerateRequest& request) {
  if (!model_) return Error{ErrorCode::kNotFound, "no model is loaded yet"};
  ORRERY_RETURN_IF_ERROR(request.sampler.validate());
  ORRERY_ASSIGN_OR_RETURN(PreparedPrompt prompt, prepare_prompt(request.kind, request.text, *model_));
  RunRequest run_request;
  run_request.n_new_tokens = request.n_new_tokens;
  run_request.sampler = request.sampler;
  run_request.schedule.level = Level::kStandard;
  run_request.schedule.pinned_steps = kPinnedSteps;
  run_request.batches = plan_batches(*generator_, static_cast<int64_t>(prompt.tokens.size()), run_request.schedule,
                                     run_request.extra, false);
  run_request.prompt = std::move(prompt.tokens);

  FrameBus bus;
  auto screen = std::make_shared<FrameRing>(kScreenRingBatches, kScreenRingBytes);
  FrameBus::Consumer& screen_consumer = bus.add_consumer(screen, FrameBus::Pressure::kDrop);
  RunRecord record = make_run_record(*model_, prompt.record, run_request, false);
  std::shared_ptr<Recorder> recorder;
  if (request.record) {
    ORRERY_ASSIGN_OR_RETURN(recorder, start_recorder(request, bus));
    ORRERY_ASSIGN_OR_RETURN(record.run, recorder->begin_run(record));
  } else {
    record.run = 1;
  }
  run_request.run = record.run;
  post(engine_event::RunStarted{request.tag, run_info(record), screen, recorder,
                                request.record ? request.session_path : ""});

  RunSinks sinks;
  sinks.publish = [&](const SharedBatch& batch) {
    bus.publish(batch);
    n_passes_.fetch_add(1, std::memory_order_relaxed);
  };
  sinks.on_progress = [this](const RunProgress& progress) { post(progress); };
  sinks.on_token = [&](const Token&, const std::string&) {
    if (request.after_token) request.after_token();
    wait_for_pace();
  };
  const Result<RunResult> result = run_loop(*generator_, model_->tokenizer.get(), run_request, sinks, control_);
  bus.close();

  engine_event::RunEnded ended;
  ended.n_dropped = screen_consumer.dropped_batches.load();
  if (recorder) {
    const Result<void> finished = recorder->end_run(end_of(result));
    const std::optional<Error> failure = recorder->status().failure;
    const Result<void> closed = recorder->close();
    if (failure) {
      ended.recording_error = failure;
    } else if (!finished || !closed) {
      ended.recording_error = !finished ? finished.error() : closed.error();
    }
  }
  if (!result) {
    ended.error = result.error();
    return ended;
  }
  ended.reason = stop_reason_name(result->reason);
  ended.prefill_s = result->prefill_s;
  ended.decode_s = result->decode_s;
  ended.n_decoded = result->n_decoded;
  return ended;
}

}  // namespace orrery
