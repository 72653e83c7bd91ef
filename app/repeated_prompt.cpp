#include "app/repeated_prompt.h"

#include "app/rerun.h"

namespace orrery {

Result<RepeatedPrompt> repeat_prompt(SessionReader& reader, const RunRecord& record) {
  const std::string which = "run " + std::to_string(record.run) + " of " + reader.path();
  if (record.end == RunEnd::kRecording) {
    return Error{ErrorCode::kBusy, "this run is still being recorded; stop it first: " + which};
  }
  RepeatedPrompt repeated{.prompt = record.prompt, .request = {}, .one_step = record.settings.one_step};
  repeated.prompt.turns.clear();
  RunRequest& request = repeated.request;
  request.sampler = sampler_of(record.settings);
  ORRERY_RETURN_IF_ERROR(request.sampler.validate());
  request.schedule = record.settings.schedule;
  request.n_drawn_before = record.settings.n_drawn_before;
  ORRERY_ASSIGN_OR_RETURN(request.prompt, reader.tokens(record.run));
  const RunTurn first = turns_of(record.settings, request.prompt).front();
  request.n_new_tokens = first.n_new_tokens;
  if (first.given_end < 1 || first.given_end > std::ssize(request.prompt)) {
    return Error{ErrorCode::kInvalidFile, "the prompt's tokens are not all recorded: " + which};
  }
  request.prompt.resize(static_cast<size_t>(first.given_end));
  for (int64_t step = 0; step < first.given_end; ++step) {
    if (request.prompt[static_cast<size_t>(step)].step == step) continue;
    return Error{ErrorCode::kInvalidFile, "the prompt's tokens are not all recorded: " + which};
  }
  return repeated;
}

}  // namespace orrery
