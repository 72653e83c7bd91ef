// Notes in a session: added and taken back by whoever looks at it, also while another program records into it.
// Each call opens the file for itself, writes one short transaction and closes it; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/result.h"

namespace orrery {

struct Note {
  int64_t id = 0;  // assigned by add_note
  int64_t run = 0;
  int64_t step = 0;
  std::string view_state;  // JSON: the selection and what is open; "" for none
  std::string text;        // as typed, data everywhere
  int64_t created_ns = 0;  // Unix time; add_note fills it where it is 0
};

// Returns the note's id. kNotFound where the session lacks the run; note.id is ignored unless positive (undoing a
// deletion gives the note its id back).
Result<int64_t> add_note(const std::string& path, const Note& note);
// Another text, and what was looked at when it was written; run, step and time stay. kNotFound where there is no such
// note.
Result<void> update_note(const std::string& path, int64_t id, const std::string& text, const std::string& view_state);
// Undo of add_note. kNotFound where there is no such note.
Result<void> delete_note(const std::string& path, int64_t id);

}  // namespace orrery
