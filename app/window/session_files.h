// The files of runs that nobody named: where the next one goes, what is there, and clearing them away.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

struct SessionFile {
  std::filesystem::path path;
  std::filesystem::file_time_type changed;
  uint64_t n_bytes = 0;  // of the file and its log
};

// A path in the folder of recorded sessions that does not exist yet, named after the time and the model. Errors of
// sessions_folder().
Result<std::filesystem::path> new_session_path(const std::string& model_name);

// The unnamed sessions, the newest first; nothing where there is no folder.
std::vector<SessionFile> recorded_sessions();

// Removes the oldest unnamed sessions until those that are left take at most max_bytes; 0 removes all. Sessions that
// some program is recording, and `keep`, stay. Returns how many were removed.
int64_t purge_sessions(uint64_t max_bytes, const std::filesystem::path& keep);

// Whether the file lies in the folder of unnamed sessions.
bool is_unnamed_session(const std::filesystem::path& path);

// Gives a closed session another name: moved where it was unnamed, copied where it was not. An existing file is
// replaced only as a whole, after the copy succeeded. kIo naming the target, kBusy while it is being recorded.
Result<void> save_session_as(const std::filesystem::path& session, const std::filesystem::path& target);

}  // namespace orrery
