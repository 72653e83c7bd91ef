#include "sessions/schema.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

namespace orrery {
namespace {

constexpr std::string_view kFirstSchema = R"sql(
CREATE TABLE model(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, architecture TEXT NOT NULL, fingerprint TEXT NOT NULL UNIQUE,
  config TEXT NOT NULL, layers TEXT NOT NULL);
CREATE TABLE run(
  id INTEGER PRIMARY KEY, parent INTEGER REFERENCES run(id), model INTEGER NOT NULL REFERENCES model(id),
  created_ns INTEGER NOT NULL, prompt TEXT NOT NULL, settings TEXT NOT NULL, edits TEXT NOT NULL,
  backend TEXT NOT NULL, build TEXT NOT NULL, level TEXT NOT NULL, outcome TEXT, ended_ns INTEGER);
CREATE TABLE token(
  run INTEGER NOT NULL, step INTEGER NOT NULL, id INTEGER NOT NULL, bytes BLOB NOT NULL, time_ns INTEGER NOT NULL,
  segment TEXT NOT NULL, PRIMARY KEY(run, step)) WITHOUT ROWID;
CREATE TABLE event(
  run INTEGER NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, layer INTEGER, detail TEXT NOT NULL);
CREATE INDEX event_by_step ON event(run, step);
CREATE TABLE gap(
  run INTEGER NOT NULL, step_begin INTEGER NOT NULL, step_end INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE note(
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, step INTEGER NOT NULL, view_state TEXT NOT NULL, text TEXT NOT NULL,
  created_ns INTEGER NOT NULL);
CREATE TABLE chunk(
  run INTEGER NOT NULL, probe TEXT NOT NULL, level INTEGER NOT NULL, step_begin INTEGER NOT NULL,
  step_end INTEGER NOT NULL, codec TEXT NOT NULL, data BLOB NOT NULL);
CREATE INDEX chunk_by_step ON chunk(run, probe, level, step_begin, step_end);
PRAGMA application_id = 0x4F525259;
)sql";

// Schema 2 has the same tables: its chunks have coarse levels and further codecs, which its number tells.
constexpr std::string_view kSecondSchema = "";

constexpr std::array kMigrations = {Migration{1, kFirstSchema}, Migration{2, kSecondSchema}};
static_assert(kMigrations.back().to == kSchemaVersion);

struct Table {
  std::string_view name;
  std::vector<std::string_view> columns;
};

// What schema 1 promises; what follows later is not asked for.
const std::vector<Table>& promised_tables() {
  static const std::vector<Table> kTables{
      {"model", {"id", "name", "architecture", "fingerprint", "config", "layers"}},
      {"run",
       {"id", "parent", "model", "created_ns", "prompt", "settings", "edits", "backend", "build", "level", "outcome",
        "ended_ns"}},
      {"token", {"run", "step", "id", "bytes", "time_ns", "segment"}},
      {"event", {"run", "step", "kind", "layer", "detail"}},
      {"gap", {"run", "step_begin", "step_end", "reason"}},
      {"note", {"id", "run", "step", "view_state", "text", "created_ns"}},
      {"chunk", {"run", "probe", "level", "step_begin", "step_end", "codec", "data"}},
  };
  return kTables;
}

Error damaged(const std::string& path, const std::string& what) {
  return {ErrorCode::kInvalidFile, path + " is a damaged session: " + what};
}

// Real tables only: a view or a virtual table of that name could run a stranger's code.
Result<void> check_table(Database& db, const std::string& path, const Table& table) {
  const std::string name(table.name);
  auto kinds =
      db.prepare("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND name = ?1 AND type = 'table'");
  if (!kinds) return session_error(path, kinds.error());
  const auto row = kinds->bind(1, table.name).step();
  if (!row) return session_error(path, row.error());
  if (kinds->i64(0) != 1) return damaged(path, "it has no table " + name);
  for (const std::string_view column : table.columns) {
    auto found = db.prepare("SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2");
    if (!found) return session_error(path, found.error());
    const auto counted = found->bind(1, table.name).bind(2, column).step();
    if (!counted) return session_error(path, counted.error());
    if (found->i64(0) != 1) return damaged(path, "its table " + name + " has no column " + std::string(column));
  }
  return {};
}

// SQLite quotes the file in its messages; a stranger's words are shown as one short plain line.
std::string plain_text(const std::string& message) {
  std::string plain = message.substr(0, 200);
  for (char& c : plain) {
    if (c < ' ' || c > '~') c = '?';
  }
  return plain;
}

}  // namespace

Error session_error(const std::string& path, const Error& raw) {
  const Error error{raw.code, plain_text(raw.message)};
  switch (error.code) {
    case ErrorCode::kBusy:
      return {error.code, path + " is in use by another program: " + error.message};
    case ErrorCode::kIo:
      return {error.code, path + " cannot be read or written: " + error.message};
    case ErrorCode::kOutOfMemory:
      return {error.code, path + " needs more memory than there is: " + error.message};
    default:
      return {ErrorCode::kInvalidFile, path + " is damaged or not a session: " + error.message};
  }
}

Result<FileKind> look_at_session_path(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return FileKind::kMissing;
    return Error{ErrorCode::kIo, path + " cannot be read: " + std::strerror(errno)};
  }
  if (S_ISDIR(status.st_mode)) return Error{ErrorCode::kInvalidFile, path + " is a folder, not a session"};
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kInvalidFile, path + " is not a regular file"};
  if (status.st_size == 0) return FileKind::kEmpty;
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  std::array<char, 16> magic{};
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorCode::kIo, path + " cannot be read: " + std::strerror(errno)};
  file.read(magic.data(), magic.size());
  if (std::string_view(magic.data(), static_cast<size_t>(file.gcount())) != kMagic) {
    return Error{ErrorCode::kInvalidFile, path + " is not a session, or its first bytes are damaged"};
  }
  return FileKind::kSession;
}

bool has_checkpoint_table(Database& db) {
  const auto n = db.query_i64(
      "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND name = 'checkpoint' AND type = 'table'");
  return n.has_value() && *n == 1;
}

bool is_empty_database(Database& db) {
  const auto n_pages = db.query_i64("PRAGMA page_count");
  return n_pages.has_value() && *n_pages == 0;
}

Result<void> check_session(Database& db, const std::string& path) {
  const auto application = db.query_i64("PRAGMA application_id");
  if (!application) return session_error(path, application.error());
  if (*application != kApplicationId) {
    return Error{ErrorCode::kInvalidFile, path + " is an SQLite database of another program, not a session"};
  }
  const auto version = db.query_i64("PRAGMA user_version");
  if (!version) return session_error(path, version.error());
  if (*version > kSchemaVersion) {
    return Error{ErrorCode::kUnsupported,
                 path + " was written by a newer Orrery: this one knows session schemas up to " +
                     std::to_string(kSchemaVersion) + ", the file has schema " + std::to_string(*version)};
  }
  if (*version < 1) return damaged(path, "its schema number is " + std::to_string(*version));
  for (const Table& table : promised_tables()) ORRERY_RETURN_IF_ERROR(check_table(db, path, table));
  return {};
}

Result<Database> open_session(const std::string& path, Database::Mode mode) {
  ORRERY_ASSIGN_OR_RETURN(const FileKind kind, look_at_session_path(path));
  if (kind == FileKind::kMissing) return Error{ErrorCode::kNotFound, "there is no session " + path};
  if (kind == FileKind::kEmpty) return Error{ErrorCode::kInvalidFile, path + " is an empty file, not a session"};
  auto db = Database::open(path, mode);
  if (!db) return session_error(path, db.error());
  if (is_empty_database(*db)) return Error{ErrorCode::kInvalidFile, path + " is an empty session"};
  ORRERY_RETURN_IF_ERROR(check_session(*db, path));
  return db;
}

std::span<const Migration> migrations() { return kMigrations; }

Result<void> migrate(Database& db, std::span<const Migration> steps) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t from, db.query_i64("PRAGMA user_version"));
  if (steps.empty() || steps.back().to <= from) return {};
  ORRERY_RETURN_IF_ERROR(db.execute("BEGIN IMMEDIATE"));
  for (const Migration& step : steps) {
    if (step.to <= from) continue;
    Result<void> done = db.execute(std::string(step.sql));
    if (done) done = db.execute("PRAGMA user_version = " + std::to_string(step.to));
    if (!done) {
      (void)db.execute("ROLLBACK");
      return done;
    }
  }
  return db.execute("COMMIT");
}

Result<void> create_schema(Database& db) {
  ORRERY_RETURN_IF_ERROR(db.execute("PRAGMA page_size = 8192"));
  return migrate(db, kMigrations);
}

}  // namespace orrery
