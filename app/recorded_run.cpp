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
  return record;
}

namespace {

RunEnd end_of(const Result<RunResult>& result) {
  if (!result) return RunEnd::kFailed;
  return result->reason == StopReason::kStopped ? RunEnd::kStopped : RunEnd::kComplete;
}

}  // namespace

Result<SessionRun> record_run(const std::string& path, const OpenedModel& opened, Generator& generator,
                              const PromptRecord& prompt, RunRequest request, bool one_step, const RunSinks& sinks,
                              RunControl& control) {
  auto ring = std::make_shared<FrameRing>(kRecorderRingBatches, kRecorderRingBytes);
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<Recorder> recorder, Recorder::start(path, ring));
  FrameBus bus;
  bus.add_consumer(ring, FrameBus::Pressure::kWait);
  SessionRun run;
  ORRERY_ASSIGN_OR_RETURN(run.run, recorder->begin_run(make_run_record(opened, prompt, request, one_step)));
  request.run = run.run;

  RunSinks both = sinks;
  both.publish = [&](const SharedBatch& batch) {
    bus.publish(batch);
    if (sinks.publish) sinks.publish(batch);
  };
  Result<RunResult> result = run_loop(generator, opened.tokenizer.get(), request, both, control);
  bus.close();
  const Result<void> ended = recorder->end_run(end_of(result));
  run.status = recorder->status();
  const Result<void> closed = recorder->close();
  if (!result) return result.error();
  if (!run.status.failure && !ended) run.status.failure = ended.error();
  if (!run.status.failure && !closed) run.status.failure = closed.error();
  std::error_code error;
  if (const uintmax_t n_bytes = std::filesystem::file_size(path, error); !error) {
    run.status.n_bytes = static_cast<int64_t>(n_bytes);
  }
  run.result = std::move(*result);
  return run;
}

}  // namespace orrery
