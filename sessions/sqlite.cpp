#include "sessions/sqlite.h"

#include <sqlite3.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace orrery {
namespace {

constexpr int kMaxValueBytes = (1 << 29) + (1 << 20);  // the largest chunk and some room
constexpr int kReaderBusyMs = 2000;
constexpr int kWriterBusyMs = 5000;

ErrorCode error_code(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kBusy;
    case SQLITE_NOMEM:
      return ErrorCode::kOutOfMemory;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_PROTOCOL:
      return ErrorCode::kIo;
    default:
      return ErrorCode::kInvalidFile;
  }
}

Error error_of(sqlite3* handle, int code) {
  return {error_code(code), handle == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle)};
}

// A path as a URI that SQLite reads the same way.
std::string uri_of(const std::string& path, const char* parameters) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned char>(c));
      uri += escaped;
    } else {
      uri += c;
    }
  }
  return uri + parameters;
}

// What a file of a stranger's may not do to us.
void defend(sqlite3* handle) {
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  const std::pair<int, int> limits[] = {
      {SQLITE_LIMIT_LENGTH, kMaxValueBytes}, {SQLITE_LIMIT_SQL_LENGTH, 100'000}, {SQLITE_LIMIT_COLUMN, 100},
      {SQLITE_LIMIT_EXPR_DEPTH, 20},         {SQLITE_LIMIT_COMPOUND_SELECT, 5},  {SQLITE_LIMIT_VDBE_OP, 25'000},
      {SQLITE_LIMIT_FUNCTION_ARG, 8},        {SQLITE_LIMIT_ATTACHED, 0},         {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
      {SQLITE_LIMIT_VARIABLE_NUMBER, 32},    {SQLITE_LIMIT_TRIGGER_DEPTH, 1},    {SQLITE_LIMIT_WORKER_THREADS, 0},
  };
  for (const auto& [id, value] : limits) sqlite3_limit(handle, id, value);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

// Binding fails only for a wrong index (a bug) or for lack of memory, which step() then reports as a NULL it refuses.
Statement& Statement::bind(int index, int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), index, value);
  CHECK(code == SQLITE_OK || code == SQLITE_NOMEM);
  return *this;
}

Statement& Statement::bind(int index, double value) {
  const int code = sqlite3_bind_double(statement_.get(), index, value);
  CHECK(code == SQLITE_OK || code == SQLITE_NOMEM);
  return *this;
}

Statement& Statement::bind(int index, std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  const int code = sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  CHECK(code == SQLITE_OK || code == SQLITE_NOMEM || code == SQLITE_TOOBIG);
  return *this;
}

Statement& Statement::bind(int index, std::span<const std::byte> blob) {
  const void* data = blob.data() == nullptr ? static_cast<const void*>("") : blob.data();
  const int code = sqlite3_bind_blob64(statement_.get(), index, data, blob.size(), SQLITE_STATIC);
  CHECK(code == SQLITE_OK || code == SQLITE_NOMEM || code == SQLITE_TOOBIG);
  return *this;
}

Statement& Statement::bind_null(int index) {
  sqlite3_bind_null(statement_.get(), index);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  const Error error = error_of(sqlite3_db_handle(statement_.get()), code);
  sqlite3_reset(statement_.get());
  return error;
}

Result<void> Statement::run() {
  while (true) {
    ORRERY_ASSIGN_OR_RETURN(const bool row, step());
    if (!row) return {};
  }
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
bool Statement::is_integer(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_INTEGER; }
int64_t Statement::i64(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

namespace {

// Opens `name`; the first read of the file happens here, so that a log that cannot be made shows at once.
int open_handle(const std::string& name, int flags, sqlite3** handle) {
  int code = sqlite3_open_v2(name.c_str(), handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) return code;
  defend(*handle);
  sqlite3_busy_timeout(*handle, (flags & SQLITE_OPEN_READONLY) != 0 ? kReaderBusyMs : kWriterBusyMs);
  return sqlite3_exec(*handle, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA schema_version;", nullptr,
                      nullptr, nullptr);
}

}  // namespace

Result<Database> Database::open(const std::string& path, Mode mode) {
  Database db;
  sqlite3* handle = nullptr;
  // "./" keeps names such as ":memory:" from meaning something else.
  const std::string name = path.starts_with('/') ? path : "./" + path;
  int code = open_handle(name, mode == Mode::kRead ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, &handle);
  db.handle_.reset(handle);
  if (mode == Mode::kRead && (code & 0xff) == SQLITE_CANTOPEN && handle != nullptr) {
    handle = nullptr;
    code = open_handle(uri_of(name, "?immutable=1"), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &handle);
    db.handle_.reset(handle);
  }
  if (code != SQLITE_OK) return error_of(handle, code);
  return db;
}

Result<void> Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error_of(handle_.get(), code);
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  Statement statement;
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  statement.statement_.reset(handle);
  if (code != SQLITE_OK) return error_of(handle_.get(), code);
  return statement;
}

Result<int64_t> Database::query_i64(std::string_view sql) {
  ORRERY_ASSIGN_OR_RETURN(Statement statement, prepare(sql));
  ORRERY_ASSIGN_OR_RETURN(const bool row, statement.step());
  return row ? statement.i64(0) : int64_t{0};
}

Result<std::string> Database::query_text(std::string_view sql) {
  ORRERY_ASSIGN_OR_RETURN(Statement statement, prepare(sql));
  ORRERY_ASSIGN_OR_RETURN(const bool row, statement.step());
  return row ? std::string(statement.text(0)) : std::string();
}

int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(handle_.get()); }

bool Database::last_error_is_full() const {
  const int code = sqlite3_errcode(handle_.get()) & 0xff;
  if (code == SQLITE_FULL) return true;
  const int cause = sqlite3_system_errno(handle_.get());
  return code == SQLITE_IOERR && (cause == ENOSPC || cause == EDQUOT);
}

}  // namespace orrery
