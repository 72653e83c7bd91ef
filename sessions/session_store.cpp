#include "sessions/session_store.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>  // renameat2
#include <cstring>
#include <filesystem>
#include <thread>

#include "sessions/checkpoint_codec.h"
#include "sessions/json_fields.h"
#include "sessions/model_json.h"
#include "sessions/repair.h"
#include "sessions/schema.h"

namespace orrery {
namespace {

// Someone who opens a killed session holds the lock while repairing it; that is soon over.
constexpr std::chrono::milliseconds kLockPatience{600};
constexpr std::chrono::milliseconds kLockPause{20};

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

int64_t file_bytes(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? status.st_size : 0;
}

// SQLite does not tell this from other failures to write.
bool is_at_file_size_limit(const std::string& path) {
  constexpr int64_t kRoom = int64_t{1} << 20;  // a commit's
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return false;
  const auto n_most = static_cast<int64_t>(limit.rlim_cur);
  return std::max(file_bytes(path), file_bytes(path + "-wal")) + kRoom > n_most;
}

// An empty session of mode 0600, whatever the umask; never over a file that was there. It is made under another name
// and appears at `path` whole: whenever the program is killed, what lies at `path` opens.
Result<void> create_session_file(const std::string& path) {
  const std::string draft = path + ".draft-" + std::to_string(getpid());
  ::unlink(draft.c_str());
  const int fd = ::open(draft.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return Error{ErrorCode::kIo, path + " cannot be created: " + std::strerror(errno)};
  fchmod(fd, 0600);
  ::close(fd);
  const auto fill = [&]() -> Result<void> {
    ORRERY_ASSIGN_OR_RETURN(Database db, Database::open(draft, Database::Mode::kWrite));
    // In memory: a draft that is cut short is thrown away, so it needs no journal beside it.
    ORRERY_RETURN_IF_ERROR(db.execute("PRAGMA journal_mode=MEMORY; PRAGMA synchronous=NORMAL"));
    auto created = create_schema(db);
    if (!created && db.last_error_is_full()) {
      return Error{ErrorCode::kIo, "the disk is full: no room to record into " + path};
    }
    return created ? created : session_error(path, created.error());
  };
  Result<void> result = fill();
  // A link never replaces what someone else put there meanwhile; what that is shows next.
  if (result && ::link(draft.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    // File systems without links (FAT) can still rename.
    if (::renameat2(AT_FDCWD, draft.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0 && errno != EEXIST) {
      result = Error{ErrorCode::kIo, path + " cannot be created: " + std::strerror(errno)};
    }
  }
  ::unlink(draft.c_str());
  return result;
}

Result<WriterLock> take_lock(const std::string& path) {
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (true) {
    auto lock = WriterLock::take(path);
    if (lock || lock.error().code != ErrorCode::kBusy || std::chrono::steady_clock::now() >= deadline) return lock;
    std::this_thread::sleep_for(kLockPause);
  }
}

// Creates the tables where the file is new, else checks and repairs it; then WAL.
Result<void> make_ready(Database& db, const std::string& path, const StoreOptions& options) {
  // One writer and short transactions: a log of 16 MiB is folded in about once a second at full level, and is only
  // synced then. A power cut may cost what the log holds, never the file.
  ORRERY_RETURN_IF_ERROR(db.execute(
      "PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8000; PRAGMA foreign_keys=OFF"));
  if (is_empty_database(db)) {
    if (auto created = create_schema(db); !created) return session_error(path, created.error());
  } else {
    ORRERY_RETURN_IF_ERROR(check_session(db, path));
    if (auto migrated = migrate(db, migrations()); !migrated) return session_error(path, migrated.error());
    if (auto repaired = repair_session(db); !repaired) return session_error(path, repaired.error());
  }
  const auto mode = db.query_text("PRAGMA journal_mode=WAL");
  if (!mode) return session_error(path, mode.error());
  if (*mode != "wal") return Error{ErrorCode::kIo, path + " lies on a file system that cannot be recorded to"};
  std::string tuning = "PRAGMA wal_autocheckpoint=2000; PRAGMA journal_size_limit=16777216;";
  if (options.max_bytes > 0) {
    const auto page_size = db.query_i64("PRAGMA page_size");
    if (!page_size) return session_error(path, page_size.error());
    tuning += "PRAGMA max_page_count=" + std::to_string(options.max_bytes / *page_size + 1);
  }
  if (auto tuned = db.execute(tuning); !tuned) return session_error(path, tuned.error());
  return {};
}

}  // namespace

Result<std::unique_ptr<SessionStore>> SessionStore::create_or_open(const std::string& path, StoreOptions options) {
  ORRERY_ASSIGN_OR_RETURN(const FileKind kind, look_at_session_path(path));
  if (kind == FileKind::kMissing) ORRERY_RETURN_IF_ERROR(create_session_file(path));
  if (access(path.c_str(), W_OK) != 0) {
    return Error{ErrorCode::kIo, path + " cannot be written: " + std::strerror(errno)};
  }
  std::unique_ptr<SessionStore> store(new SessionStore);
  store->path_ = path;
  store->options_ = options;
  ORRERY_ASSIGN_OR_RETURN(store->lock_, take_lock(path));
  auto db = Database::open(path, Database::Mode::kWrite);
  if (!db) return session_error(path, db.error());
  store->db_ = std::move(*db);
  if (auto ready = make_ready(store->db_, path, options); !ready) {
    Error error = ready.error();
    if (store->db_.last_error_is_full()) error = {ErrorCode::kIo, "the disk is full: no room to record into " + path};
    store->db_.close();
    return error;
  }
  if (auto prepared = store->prepare_statements(); !prepared) return session_error(path, prepared.error());
  return store;
}

SessionStore::~SessionStore() { (void)close(); }

Result<void> SessionStore::prepare_statements() {
  const std::pair<Statement*, std::string_view> statements[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&token_, "INSERT OR REPLACE INTO token(run, step, id, bytes, time_ns, segment) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"},
      {&event_, "INSERT INTO event(run, step, kind, layer, detail) VALUES(?1, ?2, ?3, ?4, ?5)"},
      {&gap_, "INSERT INTO gap(run, step_begin, step_end, reason) VALUES(?1, ?2, ?3, ?4)"},
      {&chunk_,
       "INSERT INTO chunk(run, probe, level, step_begin, step_end, codec, data) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
      {&delete_,
       "DELETE FROM chunk WHERE run = ?1 AND probe = ?2 AND level = ?3 AND step_begin >= ?4 AND step_begin < ?5"},
  };
  for (const auto& [statement, sql] : statements) {
    ORRERY_ASSIGN_OR_RETURN(*statement, db_.prepare(sql));
  }
  return {};
}

Error SessionStore::explain(const Error& error) {
  if (error.code == ErrorCode::kIo && is_at_file_size_limit(path_)) {
    disk_full_ = true;
    return {
        ErrorCode::kIo,
        "recording stopped at the limit on file sizes (ulimit -f), what was recorded until then is kept in " + path_};
  }
  if (!db_.last_error_is_full()) return session_error(path_, error);
  disk_full_ = true;
  // SQLite says the same of both, so the disk itself is asked.
  std::error_code unknown;
  const auto space = std::filesystem::space(path_, unknown);
  if (options_.max_bytes > 0 && !unknown && space.available > (size_t{4} << 20)) {
    return {ErrorCode::kIo, path_ + " has reached its size limit: recording stopped, what it holds is kept (" +
                                std::to_string(options_.max_bytes) + " bytes)"};
  }
  return {ErrorCode::kIo, "the disk is full: recording stopped, what was recorded until then is kept in " + path_};
}

Result<void> SessionStore::run(Statement& statement) {
  if (auto done = statement.run(); !done) return explain(done.error());
  return {};
}

Result<void> SessionStore::begin() {
  CHECK(!in_transaction_);
  ORRERY_RETURN_IF_ERROR(run(begin_));
  in_transaction_ = true;
  return {};
}

Result<void> SessionStore::commit() {
  CHECK(in_transaction_);
  ORRERY_RETURN_IF_ERROR(run(commit_));
  in_transaction_ = false;
  return {};
}

void SessionStore::rollback() {
  // SQLite may have rolled back by itself (a full disk); then this fails, which changes nothing.
  if (in_transaction_) (void)rollback_.run();
  in_transaction_ = false;
}

Result<int64_t> SessionStore::put_model(const RunRecord& record) {
  auto statement = db_.prepare(
      "INSERT INTO model(name, architecture, fingerprint, config, layers) VALUES(?1, ?2, ?3, ?4, ?5) "
      "ON CONFLICT(fingerprint) DO UPDATE SET name = excluded.name, config = excluded.config, layers = excluded.layers "
      "RETURNING id");
  if (!statement) return explain(statement.error());
  // The architecture's layers: how often a run visits them is in its settings.
  const ModelConfig model = rolled(record.config);
  std::vector<std::string> labels = record.layer_labels;
  if (record.config.loop.any()) {
    labels.clear();
    for (int32_t layer = 0; layer < model.n_layers(); ++layer) labels.push_back(layer_label(model, layer));
  }
  const std::string config = config_to_json(model);
  const std::string layers = layers_to_json(model, labels);
  statement->bind(1, record.model_name).bind(2, record.config.architecture).bind(3, record.fingerprint);
  const auto row = statement->bind(4, config).bind(5, layers).step();
  if (!row) return explain(row.error());
  const int64_t id = statement->i64(0);
  ORRERY_RETURN_IF_ERROR(run(*statement));
  return id;
}

Result<int64_t> SessionStore::begin_run(const RunRecord& record) {
  if (auto edits = parse_json(record.edits, "run.edits", nlohmann::json::value_t::array); !edits) {
    return Error{ErrorCode::kInvalidArgument, edits.error().message};
  }
  ORRERY_RETURN_IF_ERROR(begin());
  const auto insert = [&]() -> Result<int64_t> {
    ORRERY_ASSIGN_OR_RETURN(const int64_t model, put_model(record));
    auto statement = db_.prepare(
        "INSERT INTO run(parent, model, created_ns, prompt, settings, edits, backend, build, level) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    if (!statement) return explain(statement.error());
    const std::string prompt = prompt_to_json(record.prompt);
    const std::string settings = settings_to_json(record.settings);
    if (record.parent > 0) statement->bind(1, record.parent);
    statement->bind(2, model).bind(3, record.created_ns != 0 ? record.created_ns : now_ns());
    statement->bind(4, prompt).bind(5, settings).bind(6, record.edits).bind(7, record.backend).bind(8, record.build);
    statement->bind(9, level_name(record.settings.schedule.level));
    ORRERY_RETURN_IF_ERROR(run(*statement));
    return db_.last_insert_id();
  };
  auto id = insert();
  if (id) {
    if (auto committed = commit(); !committed) id = committed.error();
  }
  if (!id) rollback();
  return id;
}

Result<void> SessionStore::continue_run(int64_t run_id, const PromptRecord& prompt, const RunSettings& settings) {
  auto statement = db_.prepare(
      "UPDATE run SET prompt = ?1, settings = ?2, outcome = NULL, ended_ns = NULL WHERE id = ?3 RETURNING id");
  if (!statement) return explain(statement.error());
  const std::string prompt_json = prompt_to_json(prompt);
  const std::string settings_json = settings_to_json(settings);
  const auto row = statement->bind(1, prompt_json).bind(2, settings_json).bind(3, run_id).step();
  if (!row) return explain(row.error());
  if (!*row) {
    return Error{ErrorCode::kNotFound, "there is no run to go on with in " + path_ + ": " + std::to_string(run_id)};
  }
  return run(*statement);
}

Result<void> SessionStore::end_run(int64_t run_id, RunEnd end) {
  auto statement = db_.prepare("UPDATE run SET outcome = ?1, ended_ns = ?2 WHERE id = ?3");
  if (!statement) return explain(statement.error());
  statement->bind(1, run_end_name(end)).bind(2, now_ns()).bind(3, run_id);
  return run(*statement);
}

Result<void> SessionStore::put_token(int64_t run_id, const Token& token) {
  token_.bind(1, run_id).bind(2, token.step).bind(3, int64_t{token.id}).bind(5, token.time_ns);
  token_.bind(4, std::as_bytes(std::span(token.bytes))).bind(6, std::string_view(segment_name(token.segment)));
  return run(token_);
}

Result<void> SessionStore::put_event(int64_t run_id, const RunEvent& event) {
  event_.bind(1, run_id).bind(2, event.step).bind(3, event.kind).bind(5, event.detail);
  if (event.layer >= 0)
    event_.bind(4, int64_t{event.layer});
  else
    event_.bind_null(4);
  return run(event_);
}

Result<void> SessionStore::put_gap(int64_t run_id, const Gap& gap) {
  gap_.bind(1, run_id).bind(2, gap.step_begin).bind(3, gap.step_end).bind(4, gap.reason);
  return run(gap_);
}

Result<void> SessionStore::put_chunk(const StoredChunk& chunk) {
  chunk_.bind(1, chunk.run).bind(2, chunk.probe).bind(3, int64_t{chunk.level});
  chunk_.bind(4, chunk.step_begin).bind(5, chunk.step_end).bind(6, chunk.codec).bind(7, chunk.data);
  return run(chunk_);
}

// The table is made with the first checkpoint: sessions without one stay as they were.
Result<void> SessionStore::put_checkpoint(int64_t run_id, const StateCheckpoint& checkpoint) {
  const Result<void> made = db_.execute(std::string(kCheckpointTable));
  if (!made) return explain(made.error());
  auto statement =
      db_.prepare("INSERT INTO checkpoint(run, step, keys_begin, codec, states, keys) VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
  if (!statement) return explain(statement.error());
  const std::vector<std::byte> states = pack_checkpoint(checkpoint.states);
  const std::vector<std::byte> keys = pack_checkpoint(checkpoint.keys);
  statement->bind(1, run_id).bind(2, checkpoint.step).bind(3, checkpoint.keys_begin).bind(4, kCheckpointCodec);
  statement->bind(5, std::span<const std::byte>(states)).bind(6, std::span<const std::byte>(keys));
  return run(*statement);
}

Result<void> SessionStore::delete_chunks(int64_t run_id, std::string_view probe, int32_t level, int64_t step_begin,
                                         int64_t step_end) {
  delete_.bind(1, run_id).bind(2, probe).bind(3, int64_t{level}).bind(4, step_begin).bind(5, step_end);
  return run(delete_);
}

int64_t SessionStore::n_bytes() const { return file_bytes(path_) + file_bytes(path_ + "-wal"); }

Result<void> SessionStore::close() {
  if (!db_.is_open()) return {};
  rollback();
  for (Statement* statement : {&begin_, &commit_, &rollback_, &token_, &event_, &gap_, &chunk_, &delete_}) {
    *statement = Statement();
  }
  const auto folded = leave_one_file(db_);
  Result<void> result;
  if (!folded) result = explain(folded.error());
  db_.close();
  lock_.release();
  // A reader that closed meanwhile may have left the log to us.
  if (result && has_log(path_)) tidy_session(path_);
  return result;
}

}  // namespace orrery
