#include "app/rerun.h"

#include <algorithm>

#include "app/build_info.h"

namespace orrery {
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

std::vector<RunTurn> turns_of(const RunSettings& settings, const std::vector<Token>& tokens) {
  if (!settings.turns.empty()) return settings.turns;
  const auto drawn = std::find_if(tokens.begin(), tokens.end(),
                                  [](const Token& token) { return token.segment == Segment::kGenerated; });
  return {{.begin = 0, .given_end = drawn - tokens.begin(), .n_new_tokens = settings.n_new_tokens}};
}

bool turns_by_length(const ModelConfig& config) {
  return std::ranges::any_of(config.layers,
                             [](const LayerConfig& layer) { return layer.attention.rope.beyond.length > 0; });
}

Result<void> check_complete(const std::vector<Token>& tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].step == static_cast<int64_t>(i)) continue;
    return Error{ErrorCode::kInvalidFile,
                 "the run lacks tokens, so it cannot be run again; the first is missing at step " + std::to_string(i)};
  }
  return {};
}

std::vector<std::string> other_conditions(const RunRecord& record, const OpenedModel& opened) {
  const Backend& backend = *opened.model->backend();
  std::vector<std::string> other;
  const auto hold = [&](const char* what, const std::string& recorded, const std::string& now) {
    if (recorded != now) other.push_back(std::string("another ") + what + " (" + recorded + ", now " + now + ")");
  };
  hold("backend", record.backend, backend.name());
  hold("instruction set", record.settings.instruction_set, backend.instruction_set());
  // Two devices of one architecture share work differently, and cuBLAS chooses other algorithms.
  if (backend.name() == "cuda" && record.backend == "cuda") {
    hold("device", record.settings.device, backend.description());
  }
  hold("build", record.build, build_id());
  hold("cache type", record.settings.kv, kv_name(opened.kv));
  return other;
}

namespace {

// What repeats the run as it went: the prompt in its batches, then the new tokens one by one, and so on with each turn.
struct Repeat {
  RunRequest request;
  std::vector<Turn> further;
};

std::vector<int32_t> ids_of(std::span<const Token> tokens) {
  std::vector<int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

Result<Repeat> repeat_of(const RunRecord& record, const std::vector<Token>& tokens) {
  Repeat repeat;
  RunRequest& request = repeat.request;
  request.run = record.run;
  request.batches = record.settings.batches;
  request.sampler = sampler_of(record.settings);
  request.n_drawn_before = record.settings.n_drawn_before;
  request.schedule = record.settings.schedule;
  request.origin = Origin::kRecomputed;
  ORRERY_RETURN_IF_ERROR(request.sampler.validate());
  ORRERY_RETURN_IF_ERROR(check_complete(tokens));
  const std::span<const Token> all(tokens);
  const std::vector<RunTurn> turns = turns_of(record.settings, tokens);
  for (size_t i = 0; i < turns.size(); ++i) {
    const auto at = [&](int64_t step) { return static_cast<size_t>(std::min<int64_t>(step, std::ssize(tokens))); };
    const size_t begin = at(turns[i].begin);
    const size_t given_end = at(turns[i].given_end);
    const size_t end = i + 1 < turns.size() ? at(turns[i + 1].begin) : tokens.size();
    Turn turn;
    const auto given = all.subspan(begin, given_end - begin);
    turn.given.assign(given.begin(), given.end());
    turn.batches = record.settings.batches;
    turn.forced = ids_of(all.subspan(given_end, end - given_end));
    turn.n_new_tokens = std::ssize(turn.forced);
    if (i > 0) {
      repeat.further.push_back(std::move(turn));
      continue;
    }
    request.prompt = std::move(turn.given);
    request.forced = std::move(turn.forced);
    request.n_new_tokens = turn.n_new_tokens;
  }
  if (request.prompt.empty())
    return Error{ErrorCode::kNotFound, "the run has no tokens to run again: run " + std::to_string(record.run)};
  if (request.n_drawn_before > std::ssize(request.prompt)) {
    return Error{ErrorCode::kInvalidFile, "the run notes more tokens drawn before it than it began with: " +
                                              std::to_string(request.n_drawn_before)};
  }
  return repeat;
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

void count_samples(const RunResult& result, int64_t first_step, VerifyReport& report) {
  for (size_t i = 0; i < result.ids.size(); ++i) {
    ++report.n_sampled;
    if (result.ids[i] == result.sampled_ids[i]) continue;
    if (report.n_sampled_other++ == 0) report.first_sampled_other = first_step + static_cast<int64_t>(i);
  }
}

// Runs all turns; counts what the sampler draws otherwise.
Result<void> run_again(RunLoop& loop, const Repeat& repeat, VerifyReport& report) {
  for (size_t i = 0; i <= repeat.further.size(); ++i) {
    ORRERY_ASSIGN_OR_RETURN(const RunResult result, i == 0 ? loop.start() : loop.go_on(repeat.further[i - 1]));
    if (result.reason == StopReason::kStopped) {
      return Error{ErrorCode::kCancelled, "interrupted before all was compared"};
    }
    report.n_steps = result.n_processed;
    count_samples(result, std::ssize(loop.ids()) - std::ssize(result.ids), report);
  }
  return {};
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
  ORRERY_ASSIGN_OR_RETURN(const Repeat repeat, repeat_of(record, tokens));

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
  RunLoop loop(generator, opened.tokenizer.get(), repeat.request, sinks, control);
  const Result<void> done = run_again(loop, repeat, report);
  if (!compared) return compared.error();
  if (!done) return done.error();
  return report;
}

Result<void> recompute(const OpenedModel& opened, int64_t run, const std::vector<Token>& tokens, const ExtraTaps& taps,
                       const std::function<Result<void>(const Frame&)>& take,
                       const std::function<void(const RunProgress&)>& on_progress, RunControl& control,
                       const CheckpointSource* source) {
  CHECK(taps.begin < taps.end && std::cmp_less_equal(taps.end, tokens.size()));
  RunRequest request;
  request.run = run;
  request.prompt.assign(tokens.begin(), tokens.begin() + taps.end);
  request.n_new_tokens = 0;
  request.schedule.recording = false;
  request.extra = taps;
  request.origin = Origin::kRecomputed;
  Generator generator(opened.model, opened.kv);
  // What implied rows are made of is in no checkpoint.
  if (source != nullptr && !taps.mask.needs_history()) {
    request.n_fed = start_from_checkpoint(*source, opened, tokens, taps.begin, generator);
  }
  request.batches = plan_batches(generator, request.n_fed, taps.end, request.schedule, taps, false);
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
