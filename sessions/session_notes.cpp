#include "sessions/session_notes.h"

#include <chrono>
#include <functional>

#include "sessions/repair.h"
#include "sessions/schema.h"
#include "sessions/writer_lock.h"

namespace orrery {
namespace {

int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// One change of one row; kNotFound where it met none.
Result<void> change_one(const std::string& path, int64_t id, const std::function<Result<void>(Database&)>& change) {
  ORRERY_ASSIGN_OR_RETURN(Database db, open_session(path, Database::Mode::kWrite));
  Result<void> changed = change(db);
  Result<int64_t> n_rows = changed ? db.query_i64("SELECT changes()") : changed.error();
  db.close();
  tidy_session(path);
  if (!n_rows) return session_error(path, n_rows.error());
  if (*n_rows == 0) return Error{ErrorCode::kNotFound, path + " has no note " + std::to_string(id)};
  return {};
}

}  // namespace

Result<int64_t> add_note(const std::string& path, const Note& note) {
  ORRERY_ASSIGN_OR_RETURN(Database db, open_session(path, Database::Mode::kWrite));
  const auto insert = [&]() -> Result<int64_t> {
    ORRERY_ASSIGN_OR_RETURN(Statement find, db.prepare("SELECT 1 FROM run WHERE id = ?1"));
    ORRERY_ASSIGN_OR_RETURN(const bool found, find.bind(1, note.run).step());
    if (!found) return Error{ErrorCode::kNotFound, path + " has no run " + std::to_string(note.run)};
    find.reset();
    ORRERY_ASSIGN_OR_RETURN(
        Statement statement,
        db.prepare("INSERT INTO note(id, run, step, view_state, text, created_ns) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"));
    if (note.id > 0) statement.bind(1, note.id);
    statement.bind(2, note.run).bind(3, note.step).bind(4, note.view_state).bind(5, note.text);
    statement.bind(6, note.created_ns > 0 ? note.created_ns : now_ns());
    ORRERY_RETURN_IF_ERROR(statement.run());
    return db.last_insert_id();
  };
  auto id = insert();
  db.close();
  tidy_session(path);
  if (!id && id.error().code != ErrorCode::kNotFound) return session_error(path, id.error());
  return id;
}

Result<void> update_note(const std::string& path, int64_t id, const std::string& text, const std::string& view_state) {
  return change_one(path, id, [&](Database& db) -> Result<void> {
    ORRERY_ASSIGN_OR_RETURN(Statement statement,
                            db.prepare("UPDATE note SET text = ?2, view_state = ?3 WHERE id = ?1"));
    return statement.bind(1, id).bind(2, text).bind(3, view_state).run();
  });
}

Result<void> delete_note(const std::string& path, int64_t id) {
  return change_one(path, id, [&](Database& db) -> Result<void> {
    ORRERY_ASSIGN_OR_RETURN(Statement statement, db.prepare("DELETE FROM note WHERE id = ?1"));
    return statement.bind(1, id).run();
  });
}

}  // namespace orrery
