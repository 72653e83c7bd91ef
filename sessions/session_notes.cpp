#include "sessions/session_notes.h"

#include <chrono>

#include "sessions/repair.h"
#include "sessions/schema.h"
#include "sessions/writer_lock.h"

namespace orrery {

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
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    if (note.id > 0) statement.bind(1, note.id);
    statement.bind(2, note.run).bind(3, note.step).bind(4, note.view_state).bind(5, note.text);
    statement.bind(6, int64_t{std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()});
    ORRERY_RETURN_IF_ERROR(statement.run());
    return db.last_insert_id();
  };
  auto id = insert();
  db.close();
  tidy_session(path);
  if (!id && id.error().code != ErrorCode::kNotFound) return session_error(path, id.error());
  return id;
}

Result<void> delete_note(const std::string& path, int64_t id) {
  ORRERY_ASSIGN_OR_RETURN(Database db, open_session(path, Database::Mode::kWrite));
  const auto erase = [&]() -> Result<int64_t> {
    ORRERY_ASSIGN_OR_RETURN(Statement statement, db.prepare("DELETE FROM note WHERE id = ?1"));
    ORRERY_RETURN_IF_ERROR(statement.bind(1, id).run());
    return db.query_i64("SELECT changes()");
  };
  const auto n_erased = erase();
  db.close();
  tidy_session(path);
  if (!n_erased) return session_error(path, n_erased.error());
  if (*n_erased == 0) return Error{ErrorCode::kNotFound, path + " has no note " + std::to_string(id)};
  return {};
}

}  // namespace orrery
