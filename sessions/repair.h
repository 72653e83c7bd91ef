// What is put right when a session is opened after its program was killed, and what leaves one file behind.
#pragma once

#include <string>

#include "kernels/base/result.h"
#include "sessions/sqlite.h"

namespace orrery {

// Marks runs without an end as interrupted and merges the small chunks of those runs. (Opening has folded in the log
// already.) The caller holds the writer's lock. Chunks that cannot be read stay as they are.
Result<void> repair_session(Database& db);

// Folds the log in and goes back to one file. False where another connection is open, which leaves the log to it.
Result<bool> leave_one_file(Database& db);

// Whether a log or a journal lies beside the session.
bool has_log(const std::string& path);

// For whoever opens or closes a session: where a log lies beside it, no one records and it can be written, repairs it
// and leaves one file. Errors are ignored: what matters shows when the session is read.
void tidy_session(const std::string& path);

}  // namespace orrery
