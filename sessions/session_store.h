// SessionStore: the one writing connection of a session file. schema.h explains the file.
//
// Any thread may call it, one at a time (Recorder serialises its own calls and the app's). Errors: kBusy where another
// program records into the file, kInvalidFile where it is damaged or something else, kUnsupported for a newer schema,
// kIo where it cannot be written or the disk is full (is_disk_full says which).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"
#include "probes/run_info.h"
#include "probes/state_checkpoint.h"
#include "sessions/chunk_codec.h"
#include "sessions/run_record.h"
#include "sessions/sqlite.h"
#include "sessions/writer_lock.h"

namespace orrery {

struct StoreOptions {
  int64_t max_bytes = 0;  // of the file, 0: no limit; reaching it reads as a full disk, "has reached its size limit"
};

// One stretch of steps that a session lacks, and why.
struct Gap {
  int64_t step_begin = 0;
  int64_t step_end = 0;
  std::string reason;
};

// One row of `chunk`, encoded.
struct StoredChunk {
  int64_t run = 0;
  std::string_view probe;
  int32_t level = 0;
  int64_t step_begin = 0;
  int64_t step_end = 0;
  std::string_view codec;
  std::span<const std::byte> data;
};

class SessionStore {
 public:
  // Creates the file (mode 0600) or opens an existing session to add runs to it; takes the writer's lock, repairs what
  // a killed program left, switches to WAL. Never overwrites anything that is not a session.
  static Result<std::unique_ptr<SessionStore>> create_or_open(const std::string& path, StoreOptions options = {});
  ~SessionStore();  // close(), errors ignored
  SessionStore(const SessionStore&) = delete;
  SessionStore& operator=(const SessionStore&) = delete;

  const std::string& path() const { return path_; }

  // Writes the run (and its model, where the fingerprint is new) and commits: from here on readers see it. Returns its
  // id.
  Result<int64_t> begin_run(const RunRecord& record);
  // The run goes on: its prompt and settings are written anew, its end is taken back, and this commits.
  Result<void> continue_run(int64_t run, const PromptRecord& prompt, const RunSettings& settings);
  // Marks the run's end and commits.
  Result<void> end_run(int64_t run, RunEnd end);

  // Everything below belongs to a transaction: begin(), any of them, commit().
  Result<void> begin();
  Result<void> commit();
  void rollback();
  Result<void> put_token(int64_t run, const Token& token);  // replaces one of the same step
  Result<void> put_event(int64_t run, const RunEvent& event);
  Result<void> put_gap(int64_t run, const Gap& gap);
  Result<void> put_chunk(const StoredChunk& chunk);
  Result<void> put_checkpoint(int64_t run, const StateCheckpoint& checkpoint);
  // Deletes the chunks of a probe that begin within [step_begin, step_end).
  Result<void> delete_chunks(int64_t run, std::string_view probe, int32_t level, int64_t step_begin, int64_t step_end);

  // Bytes of the file and its log, as the next reader finds them.
  int64_t n_bytes() const;
  // True after an error that a full disk or the size limit caused.
  bool is_disk_full() const { return disk_full_; }

  // Folds the log into the file and leaves one file (with another reader open, the last one to close does that).
  Result<void> close();

 private:
  SessionStore() = default;
  Result<void> prepare_statements();
  Result<int64_t> put_model(const RunRecord& record);
  Error explain(const Error& error);
  Result<void> run(Statement& statement);

  std::string path_;
  StoreOptions options_;
  WriterLock lock_;
  Database db_;
  Statement begin_, commit_, rollback_, token_, event_, gap_, chunk_, delete_;
  bool in_transaction_ = false;
  bool disk_full_ = false;
};

}  // namespace orrery
