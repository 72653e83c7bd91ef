#include "app/library/folders.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

namespace orrery {
namespace {

namespace fs = std::filesystem;

// The absolute path that an environment variable holds; empty when it holds none.
fs::path path_from_environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables once threads run
  if (value == nullptr) return {};
  fs::path path = value;
  return path.is_absolute() ? path : fs::path();
}

Result<fs::path> home_folder() {
  fs::path home = path_from_environment("HOME");
  if (!home.empty()) return home;
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    home = found->pw_dir;
    if (home.is_absolute()) return home;
  }
  return Error{ErrorCode::kNotFound, "there is no home folder to keep files in: set HOME"};
}

Result<fs::path> xdg_folder(const char* variable, const char* below_home) {
  const fs::path base = path_from_environment(variable);
  if (!base.empty()) return base / "orrery";
  ORRERY_ASSIGN_OR_RETURN(const fs::path home, home_folder());
  return home / below_home / "orrery";
}

}  // namespace

Result<fs::path> data_folder() { return xdg_folder("XDG_DATA_HOME", ".local/share"); }

Result<fs::path> models_folder() {
  fs::path folder = path_from_environment("ORRERY_MODELS_DIR");
  if (!folder.empty()) return folder;
  ORRERY_ASSIGN_OR_RETURN(folder, data_folder());
  return folder / "models";
}

Result<fs::path> state_folder() { return xdg_folder("XDG_STATE_HOME", ".local/state"); }

Result<fs::path> sessions_folder() {
  ORRERY_ASSIGN_OR_RETURN(const fs::path state, state_folder());
  fs::path folder = state / "sessions";
  std::error_code error;
  fs::create_directories(state, error);
  if (error) return Error{ErrorCode::kIo, "cannot make the folder (" + error.message() + "): " + state.string()};
  // mkdir, not create_directory: it is private from its first moment.
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    error = std::error_code(errno, std::generic_category());
    return Error{ErrorCode::kIo, "cannot make the folder (" + error.message() + "): " + folder.string()};
  }
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::kIo, "this should be a folder for recorded sessions, and is not: " + folder.string()};
  }
  if (status.st_uid != geteuid()) {
    return Error{ErrorCode::kUnsupported,
                 "the folder for recorded sessions belongs to another user: " + folder.string()};
  }
  if ((status.st_mode & 07777) != 0700 && chmod(folder.c_str(), 0700) != 0) {
    return Error{ErrorCode::kIo, "cannot make the folder private: " + folder.string()};
  }
  return folder;
}

}  // namespace orrery
