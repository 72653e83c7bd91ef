#include "app/window/stored_run.h"

#include "app/fingerprint.h"
#include "app/open_model.h"
#include "engine/model_file.h"
#include "sessions/async_frame_source.h"
#include "sessions/session_reader.h"

namespace orrery {
namespace {

// Candidates of the output view are named by the model's own vocabulary, where it is still there.
std::shared_ptr<const Tokenizer> tokenizer_of(const RunRecord& record) {
  if (record.settings.model_path.empty()) return nullptr;
  const auto file = ModelFile::open(record.settings.model_path);
  if (!file || model_fingerprint(**file) != record.fingerprint) return nullptr;
  auto tokenizer = open_tokenizer(*file);
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

// Whatever has one number a step, at every step; of the rest the newest step.
Result<std::vector<Frame>> read_skeleton(SessionReader& reader, const RunRecord& record) {
  std::vector<Frame> skeleton;
  const auto add = [&](const Probe& probe, int64_t begin) -> Result<void> {
    ORRERY_ASSIGN_OR_RETURN(std::vector<Frame> frames, reader.frames(probe, record.run, begin, kAllSteps));
    for (Frame& frame : frames) skeleton.push_back(std::move(frame));
    return {};
  };
  int64_t n_processed = 0;
  for (const Probe* probe : offered_probes(record.config)) {
    if (probe->axes.size() == 1) ORRERY_RETURN_IF_ERROR(add(*probe, 0));
    ORRERY_ASSIGN_OR_RETURN(const auto ranges, reader.recorded_steps(*probe, record.run));
    if (!ranges.empty()) n_processed = std::max(n_processed, ranges.back().second);
  }
  for (const Probe* probe : offered_probes(record.config)) {
    const bool is_light = probe->level == Level::kLight && probe->axes.size() > 1;
    if (is_light && n_processed > 0) ORRERY_RETURN_IF_ERROR(add(*probe, n_processed - 1));
  }
  return skeleton;
}

}  // namespace

Result<StoredRun> open_stored_run(const std::string& path, int64_t run) {
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(path));
  StoredRun stored;
  stored.path = path;
  ORRERY_ASSIGN_OR_RETURN(stored.record, reader->run(run));
  stored.info = run_info(stored.record);
  ORRERY_ASSIGN_OR_RETURN(stored.tokens, reader->tokens(stored.record.run));
  ORRERY_ASSIGN_OR_RETURN(stored.events, reader->events(stored.record.run));
  ORRERY_ASSIGN_OR_RETURN(stored.notes, reader->notes(stored.record.run));
  ORRERY_ASSIGN_OR_RETURN(stored.skeleton, read_skeleton(*reader, stored.record));
  ORRERY_ASSIGN_OR_RETURN(stored.source, open_frame_source(path));
  stored.tokenizer = tokenizer_of(stored.record);
  return stored;
}

Result<std::unique_ptr<FrameSource>> open_frame_source(const std::string& path) {
  ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<FrameSource> source, AsyncFrameSource::open(path));
  return source;
}

}  // namespace orrery
