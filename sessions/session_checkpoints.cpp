// SessionReader's checkpoints.
#include "sessions/checkpoint_codec.h"
#include "sessions/schema.h"
#include "sessions/session_reader.h"

namespace orrery {

Result<std::vector<CheckpointEntry>> SessionReader::checkpoints(int64_t run) {
  std::vector<CheckpointEntry> entries;
  if (!has_checkpoint_table(db_)) return entries;
  auto statement = db_.prepare(
      "SELECT step, keys_begin, length(states) + length(keys) FROM checkpoint WHERE run = ?1 ORDER BY step");
  if (!statement) return session_error(path_, statement.error());
  statement->bind(1, run);
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return entries;
    const CheckpointEntry entry{
        .step = statement->i64(0), .keys_begin = statement->i64(1), .n_bytes = statement->i64(2)};
    const int64_t before = entries.empty() ? 0 : entries.back().step;
    if (entry.step <= before || entry.step > kMaxSteps || entry.keys_begin < 0 || entry.keys_begin > entry.step) {
      return damaged("run " + std::to_string(run) + " has a checkpoint that cannot be, at step " +
                     std::to_string(entry.step));
    }
    entries.push_back(entry);
  }
}

Result<std::vector<std::byte>> SessionReader::checkpoint_part(std::string_view sql, int64_t run, int64_t step,
                                                              size_t n_bytes) {
  if (!has_checkpoint_table(db_)) return damaged("it has no checkpoints");
  auto statement = db_.prepare(sql);
  if (!statement) return session_error(path_, statement.error());
  statement->bind(1, run).bind(2, step);
  const auto row = statement->step();
  if (!row) return session_error(path_, row.error());
  if (!*row || statement->text(0) != kCheckpointCodec) return damaged("a checkpoint is packed in an unknown way");
  return unpack_checkpoint(statement->blob(1), n_bytes);
}

Result<std::vector<std::byte>> SessionReader::checkpoint_states(int64_t run, int64_t step, size_t n_bytes) {
  return checkpoint_part("SELECT codec, states FROM checkpoint WHERE run = ?1 AND step = ?2", run, step, n_bytes);
}

Result<std::vector<std::byte>> SessionReader::checkpoint_keys(int64_t run, int64_t step, size_t n_bytes) {
  return checkpoint_part("SELECT codec, keys FROM checkpoint WHERE run = ?1 AND step = ?2", run, step, n_bytes);
}

}  // namespace orrery
