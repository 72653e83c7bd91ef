#include "app/window/session_files.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "app/library/folders.h"
#include "sessions/writer_lock.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;
constexpr const char* kExtension = ".orrery";

// Letters, digits and a few marks of the model's name; anything else could mean something in a path.
std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    const bool keep =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    if (keep) {
      plain += c;
    } else if (!plain.empty() && plain.back() != ' ') {
      plain += ' ';
    }
    if (plain.size() == 48) break;
  }
  while (!plain.empty() && (plain.back() == ' ' || plain.back() == '.')) plain.pop_back();
  return plain;
}

uint64_t size_with_log(const fs::path& path) {
  uint64_t n_bytes = 0;
  for (const char* suffix : {"", "-wal"}) {
    std::error_code error;
    const uintmax_t size = fs::file_size(path.string() + suffix, error);
    if (!error) n_bytes += size;
  }
  return n_bytes;
}

void remove_with_log(const fs::path& path) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    std::error_code ignored;
    fs::remove(path.string() + suffix, ignored);
  }
}

}  // namespace

Result<fs::path> new_session_path(const std::string& model_name) {
  ORRERY_ASSIGN_OR_RETURN(const fs::path folder, sessions_folder());
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H.%M.%S", &local);
  const std::string stem = std::string(stamp) + " " + plain_name(model_name);
  for (int n = 1;; ++n) {
    fs::path path = folder / (stem + (n == 1 ? "" : " " + std::to_string(n)) + kExtension);
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return path;
  }
}

std::vector<SessionFile> recorded_sessions() {
  std::vector<SessionFile> sessions;
  const auto folder = sessions_folder();
  if (!folder) return sessions;
  std::error_code error;
  for (fs::directory_iterator it(*folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unreadable;
    if (it->path().extension() != kExtension || !it->is_regular_file(unreadable)) continue;
    const auto changed = it->last_write_time(unreadable);
    if (!unreadable) sessions.push_back({it->path(), changed, size_with_log(it->path())});
  }
  std::sort(sessions.begin(), sessions.end(),
            [](const SessionFile& a, const SessionFile& b) { return a.changed > b.changed; });
  return sessions;
}

int64_t purge_sessions(uint64_t max_bytes, const fs::path& keep) {
  const std::vector<SessionFile> sessions = recorded_sessions();
  uint64_t total = 0;
  int64_t n_removed = 0;
  for (const SessionFile& session : sessions) {
    total += session.n_bytes;
    if (total <= max_bytes || session.path == keep || WriterLock::is_taken(session.path.string())) continue;
    remove_with_log(session.path);
    ++n_removed;
  }
  return n_removed;
}

bool is_unnamed_session(const fs::path& path) {
  const auto folder = sessions_folder();
  std::error_code ignored;
  return folder && fs::equivalent(path.parent_path(), *folder, ignored);
}

Result<void> save_session_as(const fs::path& session, const fs::path& target) {
  std::error_code error;
  if (fs::equivalent(session, target, error)) return {};
  if (WriterLock::is_taken(session.string())) {
    return Error{ErrorCode::kBusy, "the session is still being recorded: stop the run first: " + session.string()};
  }
  if (is_unnamed_session(session)) {
    fs::rename(session, target, error);
    if (!error) return {};
    // Another file system: copy below, then remove.
  }
  const fs::path partial = target.string() + ".part";
  fs::copy_file(session, partial, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(partial, target, error);
  if (error) {
    std::error_code ignored;
    fs::remove(partial, ignored);
    return Error{ErrorCode::kIo, "cannot save the session (" + error.message() + "): " + target.string()};
  }
  if (is_unnamed_session(session)) remove_with_log(session);
  return {};
}

}  // namespace orrery
