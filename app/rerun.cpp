#include "app/rerun.h"

#include <algorithm>

#include "app/build_info.h"

namespace orrery {
namespace {

SamplerSettings sampler_of(const RunSettings& settings) {
  SamplerSettings sampler;
  sampler.temperature = settings.temperature;
  sampler.top_k = settings.top_k;
  sampler.top_p = settings.top_p;
  sampler.min_p = settings.min_p;
  sampler.repeat_penalty = settings.repeat_penalty;
  sampler.seed = settings.seed;
  return sampler;
}

std::vector<std::string> other_conditions(const RunRecord& record, const OpenedModel& opened) {
  const Backend& backend = *opened.model->backend();
  std::vector<std::string> other;
  const auto hold = [&](const char* what, const std::string& recorded, const std::string& now) {
    if (recorded != now) other.push_back(std::string("another ") + what + " (" + recorded + ", now " + now + ")");
  };
  hold("backend", record.backend, backend.name());
  hold("instruction set", record.settings.instruction_set, backend.instruction_set());
  hold("build", record.build, build_id());
  hold("cache type", record.settings.kv, kv_name(opened.kv));
  return other;
}

// The request that repeats the run as it went: the prompt in its batches, then the new tokens one by one.
Result<RunRequest> repeat_of(const RunRecord& record, std::vector<Token> tokens) {
  RunRequest request;
  request.run = record.run;
  request.batches = record.settings.batches;
  request.sampler = sampler_of(record.settings);
  request.schedule = record.settings.schedule;
  request.origin = Origin::kRecomputed;
  ORRERY_RETURN_IF_ERROR(request.sampler.validate());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].step != static_cast<int64_t>(i)) {
      return Error{
          ErrorCode::kInvalidFile,
          "the run lacks tokens, so it cannot be run again; the first is missing at step " + std::to_string(i)};
    }
    if (tokens[i].segment != Segment::kGenerated) continue;
    if (request.forced.empty()) request.prompt.assign(tokens.begin(), tokens.begin() + static_cast<int64_t>(i));
    request.forced.push_back(tokens[i].id);
  }
  if (request.forced.empty()) request.prompt = std::move(tokens);
  if (request.prompt.empty())
    return Error{ErrorCode::kNotFound, "the run has no tokens to run again: run " + std::to_string(record.run)};
  request.n_new_tokens = static_cast<int64_t>(request.forced.size());
  return request;
}

int64_t last_recorded_step(const RunSummary& run) {
  int64_t end = 0;
  for (const ProbeSummary& probe : run.probes) {
    for (const auto& [begin, range_end] : probe.step_ranges) end = std::max(end, range_end);
  }
  return end;
}

Result<RunSummary> summary_of(SessionReader& reader, int64_t run) {
  ORRERY_ASSIGN_OR_RETURN(SessionSummary summary, reader.summary());
  for (RunSummary& one : summary.runs) {
    if (one.record.run == run) return std::move(one);
  }
  return Error{ErrorCode::kNotFound, "there is no run " + std::to_string(run) + " in " + reader.path()};
}

Result<void> compare_batch(SessionReader& reader, const FrameBatch& batch, FrameComparison& comparison) {
  for (const Frame& frame : batch.frames) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<Frame> recorded,
                            reader.frames(*frame.probe, frame.run, frame.step_begin, frame.step_end));
    for (const Frame& one : recorded) comparison.compare(one, frame);
  }
  return {};
}

void count_samples(const RunResult& result, const RunRequest& request, VerifyReport& report) {
  for (size_t i = 0; i < result.ids.size(); ++i) {
    ++report.n_sampled;
    if (result.ids[i] == result.sampled_ids[i]) continue;
    if (report.n_sampled_other++ == 0) report.first_sampled_other = static_cast<int64_t>(request.prompt.size() + i);
  }
}

}  // namespace

Result<VerifyReport> verify_run(SessionReader& reader, const RunRecord& record, const OpenedModel& opened,
                                const std::function<void(const RunProgress&)>& on_progress, RunControl& control) {
  if (record.end == RunEnd::kRecording) {
    return Error{ErrorCode::kBusy,
                 "this run is still being recorded; stop it first: run " + std::to_string(record.run)};
  }
  ORRERY_ASSIGN_OR_RETURN(const RunSummary summary, summary_of(reader, record.run));
  ORRERY_ASSIGN_OR_RETURN(std::vector<Token> tokens, reader.tokens(record.run));
  const int64_t n_processed = last_recorded_step(summary);
  // A run that ended within its prompt: what was not fed then is not fed now.
  if (std::cmp_less(n_processed + 1, tokens.size()))
    tokens.resize(static_cast<size_t>(std::max<int64_t>(n_processed, 1)));
  ORRERY_ASSIGN_OR_RETURN(const RunRequest request, repeat_of(record, std::move(tokens)));

  VerifyReport report;
  report.other_conditions = other_conditions(record, opened);
  report.frames = FrameComparison(report.bits_expected());
  for (const ProbeSummary& probe : summary.probes) {
    if (find_probe(probe.name) == nullptr) report.unknown_probes.push_back(probe.name);
  }
  Result<void> compared;
  RunSinks sinks;
  sinks.on_progress = on_progress;
  sinks.publish = [&](const SharedBatch& batch) {
    if (compared) compared = compare_batch(reader, *batch, report.frames);
    if (!compared) control.stop();
  };
  Generator generator(opened.model, opened.kv);
  ORRERY_ASSIGN_OR_RETURN(const RunResult result, run_loop(generator, opened.tokenizer.get(), request, sinks, control));
  if (!compared) return compared.error();
  if (result.reason == StopReason::kStopped) return Error{ErrorCode::kCancelled, "interrupted before all was compared"};
  report.n_steps = result.n_processed;
  count_samples(result, request, report);
  return report;
}

Result<void> recompute(const OpenedModel& opened, int64_t run, const std::vector<Token>& tokens, const ExtraTaps& taps,
                       const std::function<Result<void>(const Frame&)>& take,
                       const std::function<void(const RunProgress&)>& on_progress, RunControl& control) {
  CHECK(taps.begin < taps.end && std::cmp_less_equal(taps.end, tokens.size()));
  RunRequest request;
  request.run = run;
  request.prompt.assign(tokens.begin(), tokens.begin() + taps.end);
  request.n_new_tokens = 0;
  request.schedule.recording = false;
  request.extra = taps;
  request.origin = Origin::kRecomputed;
  Generator generator(opened.model, opened.kv);
  request.batches = plan_batches(generator, taps.end, request.schedule, taps, false);
  Result<void> taken;
  RunSinks sinks;
  sinks.on_progress = on_progress;
  sinks.publish = [&](const SharedBatch& batch) {
    for (const Frame& frame : batch->frames) {
      if (taken) taken = take(frame);
    }
    if (!taken) control.stop();
  };
  ORRERY_ASSIGN_OR_RETURN(const RunResult result, run_loop(generator, opened.tokenizer.get(), request, sinks, control));
  if (!taken) return taken.error();
  if (result.reason == StopReason::kStopped)
    return Error{ErrorCode::kCancelled, "interrupted before all was recomputed"};
  return {};
}

}  // namespace orrery
