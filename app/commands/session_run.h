// A session's run as commands on recordings open it: --run, --model and what a re-run needs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/commands/command.h"
#include "app/commands/model_options.h"
#include "app/run_loop.h"
#include "kernels/base/result.h"
#include "sessions/session_reader.h"

namespace orrery {

struct OpenedRun {
  std::unique_ptr<SessionReader> reader;
  RunRecord record;
  int64_t n_processed = 0;  // one past the last step that has a recorded frame of any probe
};

// `session` (the positional SESSION where it is empty) and --run (default: the last run).
Result<OpenedRun> open_run(const Options& options, const std::string& session = {});

// --model, else what the run notes, else an installed model of the same fingerprint; run as the recording was unless
// --kv says otherwise.
Result<OpenedModel> open_recorded_model(const RunRecord& record, const Options& options);

// Fails where `out` is the session itself, or is empty.
Result<void> check_out(const std::string& out, const std::string& session);

// "reading again: 120 of 300 tokens"
void show_rerun_progress(const RunProgress& progress);

// "0:5, 9:12"
std::string ranges_text(const std::vector<std::pair<int64_t, int64_t>>& ranges);

}  // namespace orrery
