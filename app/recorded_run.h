// A run on its way into a session: its record, the recorder with its ring, and the loop that feeds it. Used by the
// command line; the window adds a ring of its own to the same bus.
#pragma once

#include <memory>
#include <string>

#include "app/open_model.h"
#include "app/prompt.h"
#include "app/run_loop.h"
#include "kernels/base/result.h"
#include "probes/frame_bus.h"
#include "sessions/recorder.h"

namespace orrery {

// What a recorder may fall behind before generation waits for it.
inline constexpr size_t kRecorderRingBatches = 1024;
inline constexpr size_t kRecorderRingBytes = size_t{256} << 20;

// Everything that the session notes of this run and that a re-run must repeat; request.batches is final.
RunRecord make_run_record(const OpenedModel& opened, const PromptRecord& prompt, const RunRequest& request,
                          bool one_step);

struct SessionRun {
  RunResult result;
  int64_t run = 0;        // its id in the session
  RecorderStatus status;  // n_bytes, n_gaps, and the failure where recording stopped by itself (generation went on)
};

// Records the run into the session at `path`, created or added to. `sinks.publish`, where there is one, sees every
// batch too. Errors: of the recorder before the run begins, of generation afterwards (the run is then marked failed).
Result<SessionRun> record_run(const std::string& path, const OpenedModel& opened, Generator& generator,
                              const PromptRecord& prompt, RunRequest request, bool one_step, const RunSinks& sinks,
                              RunControl& control);

}  // namespace orrery
