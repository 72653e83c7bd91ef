// A recorded run's prompt and settings again, for a new run that differs from it in something else; the recorded run is
// its parent.
#pragma once

#include "app/run_loop.h"
#include "kernels/base/result.h"
#include "sessions/session_reader.h"

namespace orrery {

struct RepeatedPrompt {
  PromptRecord prompt;    // without the further messages of a chat
  RunRequest request;     // what its first turn was given, sampler, schedule and how many tokens; no batches yet
  bool one_step = false;  // it was fed token by token
};

// kBusy for a run that is being recorded, kInvalidFile where tokens of the prompt are missing.
Result<RepeatedPrompt> repeat_prompt(SessionReader& reader, const RunRecord& record);

}  // namespace orrery
