// SQLite with Result and ownership: what sessions need of it, no more. A Database and its Statements belong to one
// thread at a time. Error texts are SQLite's own; callers add the file's name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace orrery {

class Statement {
 public:
  Statement() = default;

  // Parameters from 1. Text and blobs must stay until step() has been called.
  Statement& bind(int index, int64_t value);
  Statement& bind(int index, double value);
  Statement& bind(int index, std::string_view text);
  Statement& bind(int index, std::span<const std::byte> blob);
  Statement& bind_null(int index);

  // True: a row is there. False: done, and reset.
  Result<bool> step();
  // Runs to the end and resets.
  Result<void> run();
  void reset();

  // Columns of the current row, from 0. The views are valid until the next step or reset.
  bool is_null(int column) const;
  bool is_integer(int column) const;
  int64_t i64(int column) const;
  std::string_view text(int column) const;
  std::span<const std::byte> blob(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class Database {
 public:
  enum class Mode : uint8_t { kRead, kWrite };
  Database() = default;

  // Opens an existing file as a stranger's: defensive, schema untrusted, no extensions, no triggers, no views, limits
  // set. An empty file is an empty database. Where a log would be needed and none can be made (a folder that cannot be
  // written), reading goes on without one.
  static Result<Database> open(const std::string& path, Mode mode);
  bool is_open() const { return handle_ != nullptr; }
  void close() { handle_.reset(); }

  Result<void> execute(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  // One integer of a query that gives one row.
  Result<int64_t> query_i64(std::string_view sql);
  Result<std::string> query_text(std::string_view sql);
  int64_t last_insert_id() const;
  // After an error: the disk, a quota or max_page_count was in the way.
  bool last_error_is_full() const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace orrery
