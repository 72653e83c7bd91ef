// Going on where a recorded run ended, in a run of its own whose parent it is: the recorded tokens are forced, then new
// ones are drawn, as if the first run had gone on.
#pragma once

#include <vector>

#include "app/run_loop.h"
#include "kernels/base/result.h"
#include "sessions/session_reader.h"

namespace orrery {

struct ContinuedRun {
  PromptRecord prompt;        // the recorded run's
  std::vector<Token> tokens;  // all of its tokens, the last one that was not fed included; segments as recorded
  SamplerSettings sampler;    // and seed
  TapSchedule schedule;
  int64_t n_new_tokens = 0;    // of its last turn
  int64_t n_drawn_before = 0;  // random numbers that it and its ancestors drew
};

// kBusy for a run that is being recorded, kInvalidFile where tokens are missing, kNotFound where it has none.
Result<ContinuedRun> continue_recorded(SessionReader& reader, const RunRecord& record);

}  // namespace orrery
