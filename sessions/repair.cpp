#include "sessions/repair.h"

#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "probes/probe.h"
#include "sessions/chunk_codec.h"
#include "sessions/chunk_packer.h"
#include "sessions/model_json.h"
#include "sessions/schema.h"
#include "sessions/writer_lock.h"

namespace orrery {
namespace {

bool exists(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0;
}

struct Row {
  int64_t id = 0;
  int64_t step_begin = 0;
  int64_t step_end = 0;
};

// Merges the chunks of one probe and level of one run that lie next to each other, up to the size of a full one.
class Merger {
 public:
  Merger(Database& db, const Probe& probe, int32_t level, const ModelConfig& config)
      : db_(db), probe_(probe), level_(level), config_(config) {}

  Result<void> add(const Row& row) {
    ORRERY_ASSIGN_OR_RETURN(Statement statement, db_.prepare("SELECT codec, data FROM chunk WHERE rowid = ?1"));
    ORRERY_ASSIGN_OR_RETURN(const bool found, statement.bind(1, row.id).step());
    if (!found) return {};
    auto chunk =
        decoder_.decode(probe_, config_, level_, row.step_begin, row.step_end, statement.text(0), statement.blob(1));
    if (!chunk) return finish();  // left as it is
    const bool continues = !rows_.empty() && row.step_begin == rows_.back().step_end && chunk->form == form_ &&
                           raw_.size() + chunk->n_bytes <= kMaxSealBytes;
    if (!continues) ORRERY_RETURN_IF_ERROR(finish());
    form_ = std::move(chunk->form);
    raw_.insert(raw_.end(), chunk->raw().begin(), chunk->raw().end());
    rows_.push_back(row);
    return raw_.size() >= kSealBytes ? finish() : Result<void>();
  }

  Result<void> finish() {
    if (rows_.size() > 1) {
      const ChunkEncoder::Encoded encoded = encoder_.encode(form_, rows_.front().step_begin, raw_);
      ORRERY_ASSIGN_OR_RETURN(Statement erase, db_.prepare("DELETE FROM chunk WHERE rowid = ?1"));
      for (size_t i = 1; i < rows_.size(); ++i) ORRERY_RETURN_IF_ERROR(erase.bind(1, rows_[i].id).run());
      ORRERY_ASSIGN_OR_RETURN(Statement update,
                              db_.prepare("UPDATE chunk SET step_end = ?1, codec = ?2, data = ?3 WHERE rowid = ?4"));
      update.bind(1, rows_.back().step_end).bind(2, encoded.codec).bind(3, encoded.data).bind(4, rows_.front().id);
      ORRERY_RETURN_IF_ERROR(update.run());
    }
    rows_.clear();
    raw_.clear();
    return {};
  }

 private:
  Database& db_;
  const Probe& probe_;
  const int32_t level_;
  const ModelConfig& config_;
  std::vector<Row> rows_;
  ChunkForm form_;
  std::vector<std::byte> raw_;
  ChunkEncoder encoder_;
  ChunkDecoder decoder_;
};

// Small chunks are the newest of their probe: each was written after the last full one. So only those behind the last
// full chunk are looked at, and a long run is repaired as quickly as a short one.
Result<std::vector<Row>> small_chunks(Database& db, int64_t run, std::string_view probe, int64_t level) {
  ORRERY_ASSIGN_OR_RETURN(
      Statement statement,
      db.prepare("SELECT rowid, step_begin, step_end, length(data) FROM chunk WHERE run = ?1 AND probe = ?2 AND "
                 "level = ?3 ORDER BY step_begin DESC"));
  statement.bind(1, run).bind(2, probe).bind(3, level);
  constexpr int64_t kSmallBytes = 16 << 10;
  constexpr size_t kMaxRows = 1 << 16;
  std::vector<Row> rows;
  while (rows.size() < kMaxRows) {
    ORRERY_ASSIGN_OR_RETURN(const bool found, statement.step());
    if (!found || statement.i64(3) >= kSmallBytes) break;
    rows.push_back({statement.i64(0), statement.i64(1), statement.i64(2)});
  }
  return std::vector<Row>(rows.rbegin(), rows.rend());
}

Result<void> merge_run(Database& db, int64_t run, const ModelConfig& config) {
  for (const Probe* probe : all_probes()) {
    for (int32_t level = 0; level < 2 * kLevelsPerStatistic; ++level) {
      if (!has_level(*probe, level)) continue;
      ORRERY_ASSIGN_OR_RETURN(const std::vector<Row> rows, small_chunks(db, run, probe->name, level));
      Merger merger(db, *probe, level, config);
      for (const Row& row : rows) ORRERY_RETURN_IF_ERROR(merger.add(row));
      ORRERY_RETURN_IF_ERROR(merger.finish());
    }
  }
  return {};
}

Result<void> repair_runs(Database& db) {
  std::vector<std::pair<int64_t, ModelConfig>> runs;
  {
    ORRERY_ASSIGN_OR_RETURN(Statement statement,
                            db.prepare("SELECT run.id, model.config, model.layers FROM run JOIN model ON "
                                       "model.id = run.model WHERE run.outcome IS NULL"));
    while (true) {
      ORRERY_ASSIGN_OR_RETURN(const bool row, statement.step());
      if (!row) break;
      auto model = model_from_json(statement.text(1), statement.text(2));
      if (model) runs.emplace_back(statement.i64(0), std::move(model->config));
    }
  }
  for (const auto& [run, config] : runs) ORRERY_RETURN_IF_ERROR(merge_run(db, run, config));
  ORRERY_ASSIGN_OR_RETURN(Statement mark, db.prepare("UPDATE run SET outcome = 'interrupted' WHERE outcome IS NULL"));
  return mark.run();
}

}  // namespace

Result<void> repair_session(Database& db) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_open, db.query_i64("SELECT count(*) FROM run WHERE outcome IS NULL"));
  if (n_open == 0) return {};
  ORRERY_RETURN_IF_ERROR(db.execute("BEGIN IMMEDIATE"));
  Result<void> done = repair_runs(db);
  if (done) done = db.execute("COMMIT");
  if (!done) (void)db.execute("ROLLBACK");
  return done;
}

Result<bool> leave_one_file(Database& db) {
  ORRERY_RETURN_IF_ERROR(db.execute("PRAGMA busy_timeout=100"));
  const auto busy = db.query_i64("PRAGMA wal_checkpoint(TRUNCATE)");
  if (!busy && busy.error().code != ErrorCode::kBusy) return busy.error();
  const auto mode = db.query_text("PRAGMA journal_mode=DELETE");
  if (!mode && mode.error().code != ErrorCode::kBusy) return mode.error();
  return mode.has_value() && *mode == "delete";
}

bool has_log(const std::string& path) { return exists(path + "-wal") || exists(path + "-journal"); }

void tidy_session(const std::string& path) {
  if (!has_log(path) || access(path.c_str(), W_OK) != 0 || WriterLock::is_taken(path)) return;
  auto lock = WriterLock::take(path);
  if (!lock) return;
  auto db = open_session(path, Database::Mode::kWrite);
  if (!db) return;
  if (!repair_session(*db)) return;
  (void)leave_one_file(*db);
}

}  // namespace orrery
