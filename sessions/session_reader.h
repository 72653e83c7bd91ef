// SessionReader: reads a session file without changing it, while another program may be recording it.
//
// One thread at a time; each thread that reads has a reader of its own. Files come from strangers: every count is
// checked before memory is taken for it. Errors: kNotFound, kInvalidFile (damaged, or something else), kUnsupported
// (newer schema), kIo.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/result.h"
#include "probes/frame.h"
#include "sessions/chunk_codec.h"
#include "sessions/run_record.h"
#include "sessions/session_notes.h"
#include "sessions/session_store.h"
#include "sessions/sqlite.h"

namespace orrery {

inline constexpr int64_t kAllSteps = std::numeric_limits<int64_t>::max();

struct LevelSummary {
  int32_t level = 0;  // probes/levels.h
  int64_t n_chunks = 0;
  int64_t n_bytes = 0;                                   // compressed
  std::vector<std::pair<int64_t, int64_t>> step_ranges;  // maximal half-open ranges, ascending
};

struct ProbeSummary {
  std::string name;  // as stored; may be one that this build does not know
  // Of every step.
  int64_t n_chunks = 0;
  int64_t n_bytes = 0;
  std::vector<std::pair<int64_t, int64_t>> step_ranges;
  std::vector<LevelSummary> levels;  // the coarse ones, ascending
};

// One row of `checkpoint`.
struct CheckpointEntry {
  int64_t step = 0;
  int64_t keys_begin = 0;
  int64_t n_bytes = 0;  // packed
};

struct RunSummary {
  RunRecord record;
  std::vector<CheckpointEntry> checkpoints;
  std::string bad_checkpoints;  // why they cannot be used; mostly empty
  int64_t n_tokens = 0;
  int64_t n_prompt_tokens = 0;  // tokens whose segment is not generated
  int64_t duration_ns = 0;      // time of the last token
  std::vector<ProbeSummary> probes;
  std::vector<Gap> gaps;
};

struct SessionSummary {
  std::string path;
  int64_t n_bytes = 0;
  int32_t schema = 0;
  std::vector<RunSummary> runs;
  int64_t n_notes = 0;
};

class SessionReader {
 public:
  // Repairs what a killed program left first, where the file may be written.
  static Result<std::unique_ptr<SessionReader>> open(const std::string& path);
  ~SessionReader();
  SessionReader(const SessionReader&) = delete;
  SessionReader& operator=(const SessionReader&) = delete;

  const std::string& path() const { return path_; }

  // All runs, by id. run_info(record) is what views take.
  Result<std::vector<RunRecord>> runs();
  // run 0: the last one. kNotFound where there is no such run.
  Result<RunRecord> run(int64_t run);
  // Ascending by step; half-open step ranges everywhere.
  Result<std::vector<Token>> tokens(int64_t run, int64_t step_begin = 0, int64_t step_end = kAllSteps);
  Result<std::vector<RunEvent>> events(int64_t run, int64_t step_begin = 0, int64_t step_end = kAllSteps);
  Result<std::vector<Gap>> gaps(int64_t run);
  Result<std::vector<Note>> notes(int64_t run);

  // What was recorded of a probe within [step_begin, step_end): Frames ascending by step, cut to the range, origin
  // recorded; steps that were not recorded are absent. Frames may share memory. Of a coarse level that the probe has:
  // the whole cells within the range; those that the file lacks are made of its steps.
  Result<std::vector<Frame>> frames(const Probe& probe, int64_t run, int64_t step_begin, int64_t step_end,
                                    int32_t level = 0);
  // The same one Frame at a time, holding one chunk; ends early where `take` returns false.
  Result<void> for_each_frame(const Probe& probe, int64_t run, int64_t step_begin, int64_t step_end, int32_t level,
                              const std::function<bool(const Frame&)>& take,
                              LackingCells lacking = LackingCells::kMade);
  // The steps of a probe that were recorded, maximal half-open ranges, ascending.
  Result<std::vector<std::pair<int64_t, int64_t>>> recorded_steps(const Probe& probe, int64_t run, int32_t level = 0);

  // Ascending by step. kInvalidFile where one cannot be.
  Result<std::vector<CheckpointEntry>> checkpoints(int64_t run);
  // The states of a checkpoint, n_bytes of them, and its keys. kInvalidFile where they are damaged or of another size.
  Result<std::vector<std::byte>> checkpoint_states(int64_t run, int64_t step, size_t n_bytes);
  Result<std::vector<std::byte>> checkpoint_keys(int64_t run, int64_t step, size_t n_bytes);

  Result<SessionSummary> summary();

 private:
  struct CachedChunk {
    int64_t run;
    const Probe* probe;
    int32_t level;
    int64_t step_begin;
    int64_t step_end;
    std::shared_ptr<const UnpackedChunk> chunk;
  };
  SessionReader() = default;
  Result<RunRecord> read_run_row(Statement& statement);
  Result<bool> make_cells(const Probe& probe, int64_t run, int64_t step_begin, int64_t step_end, int32_t level,
                          const std::function<bool(const Frame&)>& take);
  Result<std::shared_ptr<const UnpackedChunk>> unpack(const Probe& probe, int64_t run, int32_t level, Statement& row);
  Result<const ModelConfig*> config_of(int64_t run);
  Result<void> summarise_chunks(RunSummary& run);
  Result<std::vector<std::byte>> checkpoint_part(std::string_view sql, int64_t run, int64_t step, size_t n_bytes);
  Error damaged(const std::string& what) const;

  std::string path_;
  Database db_;
  ChunkDecoder decoder_;
  std::list<CachedChunk> cache_;  // most recently used first
  size_t cache_bytes_ = 0;
  std::map<int64_t, ModelConfig> configs_;  // by run
};

}  // namespace orrery
