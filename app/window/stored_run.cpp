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

}  // namespace

Result<StoredRun> open_stored_run(const std::string& path, int64_t run) {
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(path));
  StoredRun stored;
  stored.path = path;
  ORRERY_ASSIGN_OR_RETURN(stored.record, reader->run(run));
  stored.info = run_info(stored.record);
  ORRERY_ASSIGN_OR_RETURN(stored.tokens, reader->tokens(stored.record.run));
  ORRERY_ASSIGN_OR_RETURN(stored.events, reader->events(stored.record.run));
  for (const char* name : {"output.entropy", "cache.entries"}) {
    const Probe* probe = find_probe(name);
    ORRERY_ASSIGN_OR_RETURN(std::vector<Frame> frames, reader->frames(*probe, stored.record.run, 0, kAllSteps));
    for (Frame& frame : frames) stored.skeleton.push_back(std::move(frame));
  }
  ORRERY_ASSIGN_OR_RETURN(stored.source, open_frame_source(path));
  stored.tokenizer = tokenizer_of(stored.record);
  return stored;
}

Result<std::unique_ptr<FrameSource>> open_frame_source(const std::string& path) {
  ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<FrameSource> source, AsyncFrameSource::open(path));
  return source;
}

}  // namespace orrery
