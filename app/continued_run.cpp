#include "app/continued_run.h"

#include <algorithm>

#include "app/rerun.h"

namespace orrery {

Result<ContinuedRun> continue_recorded(SessionReader& reader, const RunRecord& record) {
  const std::string which = "run " + std::to_string(record.run) + " of " + reader.path();
  if (record.end == RunEnd::kRecording) {
    return Error{ErrorCode::kBusy, "this run is still being recorded; stop it first: " + which};
  }
  ContinuedRun run;
  run.prompt = record.prompt;
  run.sampler = sampler_of(record.settings);
  ORRERY_RETURN_IF_ERROR(run.sampler.validate());
  run.schedule = record.settings.schedule;
  ORRERY_ASSIGN_OR_RETURN(run.tokens, reader.tokens(record.run));
  if (run.tokens.empty()) return Error{ErrorCode::kNotFound, "the run has no tokens to go on from: " + which};
  for (size_t i = 0; i < run.tokens.size(); ++i) {
    if (run.tokens[i].step == static_cast<int64_t>(i)) continue;
    return Error{ErrorCode::kInvalidFile,
                 "the run lacks tokens, so it cannot be continued; the first is missing at "
                 "step " +
                     std::to_string(i)};
  }
  const int64_t n_tokens = std::ssize(run.tokens);
  const std::vector<RunTurn> turns = turns_of(record.settings, run.tokens);
  run.n_new_tokens = turns.back().n_new_tokens;
  run.n_drawn_before = std::min(record.settings.n_drawn_before, n_tokens);
  for (size_t i = 0; i < turns.size(); ++i) {
    const int64_t end = i + 1 < turns.size() ? std::min(turns[i + 1].begin, n_tokens) : n_tokens;
    run.n_drawn_before += std::max<int64_t>(end - turns[i].given_end, 0);
  }
  run.n_drawn_before = std::min(run.n_drawn_before, n_tokens);
  return run;
}

}  // namespace orrery
