#include "app/library/stage_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnding = ".part";
constexpr const char* kNote = "fetch.json";
constexpr std::streamsize kMostOfANote = 65536;
constexpr int kMostTries = 3;  // to enter a stage that another fetch is just removing

// What is noted in a stage about its fetch.
struct Note {
  FetchRequest request;
  std::string revision;
  std::string name;
  std::string title;
  uint64_t n_bytes = 0;
};

Note read_note(const fs::path& stage) {
  std::ifstream file(stage / kNote, std::ios::binary);
  std::string text(static_cast<size_t>(kMostOfANote), '\0');
  file.read(text.data(), kMostOfANote);
  text.resize(static_cast<size_t>(file.gcount()));
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  Note note;
  if (!object.is_object()) return note;
  const auto text_of = [&](const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  note.request = {.what = text_of("what"), .file = {}, .sha256 = text_of("sha256"), .name = text_of("given_name")};
  note.revision = text_of("revision");
  note.name = text_of("name");
  note.title = text_of("title");
  const auto size = object.find("bytes");
  if (size != object.end() && size->is_number_unsigned()) note.n_bytes = size->get<uint64_t>();
  return note;
}

Result<void> write_note(const fs::path& stage, const FetchPlan& plan) {
  const nlohmann::json object{{"what", plan.request.what},
                              {"sha256", plan.request.sha256},
                              {"given_name", plan.request.name},
                              {"revision", plan.revision},
                              {"name", plan.name},
                              {"title", plan.title},
                              {"bytes", plan.n_bytes().value_or(0)}};
  std::ofstream file(stage / kNote, std::ios::binary | std::ios::trunc);
  file << object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  if (!file.flush()) return Error{ErrorCode::kIo, "cannot write: " + (stage / kNote).string()};
  return {};
}

Error io_error(const fs::path& path, int number) {
  return {ErrorCode::kIo,
          "cannot write in the folder of models (" + std::generic_category().message(number) + "): " + path.string()};
}

uint64_t bytes_in(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const uint64_t n_bytes = entry->is_regular_file(ignored) ? entry->file_size(ignored) : 0;
    if (!ignored && entry->path().extension() != ".json") total += n_bytes;
  }
  return total;
}

// The folder's descriptor, locked; -1 where it was removed meanwhile.
Result<int> lock(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return errno == ENOENT ? Result<int>(-1) : Result<int>(io_error(path, errno));
  struct stat status {};
  const bool locked = flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  const int number = errno;
  if (locked && fstat(descriptor, &status) == 0 && status.st_nlink > 0) return descriptor;
  close(descriptor);
  if (locked) return -1;
  if (number != EWOULDBLOCK) return io_error(path, number);
  return Error{ErrorCode::kBusy, "another program is fetching this model already into: " + path.string()};
}

}  // namespace

StageFolder::StageFolder(StageFolder&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

StageFolder::~StageFolder() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<StageFolder> StageFolder::enter(const FetchPlan& plan) {
  const fs::path path = fs::path(plan.target) += kEnding;
  for (int i = 0; i < kMostTries; ++i) {
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return io_error(path, errno);
    ORRERY_ASSIGN_OR_RETURN(const int descriptor, lock(path));
    if (descriptor < 0) continue;
    StageFolder stage(path, descriptor);
    const Note note = read_note(path);
    std::error_code error;
    if (note.request.what != plan.request.what || note.revision != plan.revision) fs::remove_all(stage.files(), error);
    fs::create_directory(stage.files(), error);
    if (error) return io_error(stage.files(), error.value());
    ORRERY_RETURN_IF_ERROR(write_note(path, plan));
    return stage;
  }
  return Error{ErrorCode::kBusy, "another program is fetching this model already into: " + path.string()};
}

bool StageFolder::is_busy(const fs::path& path) {
  const Result<int> descriptor = lock(path);
  if (!descriptor) return descriptor.error().code == ErrorCode::kBusy;
  if (*descriptor >= 0) close(*descriptor);
  return false;
}

uint64_t StageFolder::done_bytes() const { return bytes_in(files()); }

void StageFolder::remove() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<UnfinishedFetch> unfinished_fetches(const fs::path& folder) {
  std::vector<UnfinishedFetch> fetches;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() != kEnding || entry->is_symlink(ignored) || !entry->is_directory(ignored)) continue;
    const Note note = read_note(entry->path());
    if (note.request.what.empty()) continue;
    fetches.push_back(
        {note.request, note.name, note.title, entry->path(), bytes_in(entry->path() / "files"), note.n_bytes});
  }
  std::sort(fetches.begin(), fetches.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return fetches;
}

}  // namespace orrery
