// StoredRun: what the window needs of a recorded run to show it at once, read on a thread that may wait for the disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizer.h"
#include "kernels/base/result.h"
#include "probes/frame_source.h"
#include "probes/run_info.h"
#include "sessions/run_record.h"
#include "sessions/session_notes.h"

namespace orrery {

struct StoredRun {
  std::string path;
  RunRecord record;
  RunInfo info;
  std::vector<Token> tokens;
  std::vector<RunEvent> events;
  std::vector<Note> notes;
  std::vector<Frame> skeleton;                 // the scalars of every step, and the newest step: shown at once
  std::unique_ptr<FrameSource> source;         // for the rest
  std::shared_ptr<const Tokenizer> tokenizer;  // of the model where it is still at its place; else null
};

// run 0: the last one. kNotFound where the session has no run.
Result<StoredRun> open_stored_run(const std::string& path, int64_t run);

// The Frames of a session alone, for scrubbing back while it is being recorded.
Result<std::unique_ptr<FrameSource>> open_frame_source(const std::string& path);

}  // namespace orrery
