#include "app/library/installed_models.h"

#include <algorithm>
#include <map>
#include <system_error>

#include "app/library/embedded_model.h"
#include "app/library/file_name.h"
#include "app/library/folders.h"
#include "app/library/known_models.h"
#include "app/library/model_record.h"
#include "app/library/stage_folder.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGguf = ".gguf";

uint64_t bytes_of(const fs::path& path) {
  std::error_code error;
  const uint64_t n_bytes = fs::file_size(path, error);
  return error ? 0 : n_bytes;
}

uint64_t bytes_in(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) total += bytes_of(entry->path());
  }
  return total;
}

InstalledModel describe(std::string name, const fs::path& path, uint64_t n_bytes) {
  InstalledModel model{std::move(name), path, n_bytes, {}, {}, {}};
  if (model.name == kEmbeddedModel) {
    model.licence = "Apache-2.0";
    model.source = "the program itself";
  }
  for (const KnownModel& known : known_models()) {
    if (path.filename() != known.file_name) continue;
    model.name = known.name;
    model.licence = known.licence;
  }
  if (const auto record = read_record(path)) {
    model.licence = record->licence;
    model.source = record->source;
  }
  return model;
}

// The shards found of one split model, by their number.
using Shards = std::map<int, fs::path>;

InstalledModel describe_split(const std::string& stem, const Shards& shards) {
  uint64_t n_bytes = 0;
  for (const auto& [index, path] : shards) n_bytes += bytes_of(path);
  InstalledModel model = describe(stem, shards.begin()->second, n_bytes);
  for (const auto& [index, path] : shards) model.shards.push_back(path);
  return model;
}

Error not_removed(const fs::path& path, const std::error_code& error) {
  return {ErrorCode::kIo, "cannot remove the model (" + error.message() + "): " + path.string()};
}

Result<uint64_t> remove_installed(const InstalledModel& model) {
  std::vector<fs::path> paths = model.shards.empty() ? std::vector<fs::path>{model.path} : model.shards;
  // The first shard goes first: what is left after a failure is not taken for a model.
  for (const fs::path& path : paths) {
    std::error_code error;
    fs::remove_all(path, error);  // of a link, the link alone
    if (error) return not_removed(path, error);
  }
  std::error_code ignored;
  fs::remove(record_path(model.path), ignored);
  return model.n_bytes;
}

}  // namespace

Result<std::vector<InstalledModel>> installed_models(const fs::path& folder) {
  std::vector<InstalledModel> models;
  std::map<std::pair<std::string, int>, Shards> split;  // by stem and number of shards
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory) return models;
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    const std::string file = path.filename().string();
    std::error_code ignored;
    if (file.starts_with('.') || file.ends_with(".part")) continue;
    if (entry->is_regular_file(ignored) && path.extension() == kGguf) {
      if (const auto shard = parse_shard_name(file)) {
        split[{shard->stem, shard->count}][shard->index] = path;
      } else {
        models.push_back(describe(path.stem().string(), path, bytes_of(path)));
      }
    } else if (entry->is_directory(ignored) && fs::is_regular_file(path / "config.json", ignored)) {
      models.push_back(describe(file, path, bytes_in(path)));
    }
  }
  if (error) {
    return Error{ErrorCode::kIo, "cannot read the folder of models (" + error.message() + "): " + folder.string()};
  }
  for (const auto& [key, shards] : split) {
    if (shards.begin()->first == 1) models.push_back(describe_split(key.first, shards));
  }
  std::sort(models.begin(), models.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return models;
}

Result<fs::path> resolve_model(std::string_view name_or_path, const fs::path& folder) {
  std::error_code error;
  fs::path path = name_or_path;
  if (!name_or_path.empty() && fs::exists(path, error)) return path;
  ORRERY_ASSIGN_OR_RETURN(const std::vector<InstalledModel> models, installed_models(folder));
  for (const InstalledModel& model : models) {
    if (model.name == name_or_path) return model.path;
  }
  const std::string name(name_or_path);
  if (find_known_model(name) != nullptr) {
    return Error{ErrorCode::kNotFound, "this model is not installed yet; get it with: orrery models get " + name};
  }
  return Error{ErrorCode::kNotFound, "there is no model file, and no installed or known model (known: " +
                                         known_model_names() + "), called: " + name};
}

Result<uint64_t> remove_model(std::string_view name, const fs::path& folder) {
  uint64_t freed = 0;
  bool found = false;
  for (const UnfinishedFetch& fetch : unfinished_fetches(folder)) {
    if (fetch.name != name) continue;
    if (StageFolder::is_busy(fetch.path)) {
      return Error{ErrorCode::kBusy, "a program is fetching this model just now: " + std::string(name)};
    }
    std::error_code error;
    fs::remove_all(fetch.path, error);
    if (error) return not_removed(fetch.path, error);
    freed += fetch.done_bytes;
    found = true;
  }
  ORRERY_ASSIGN_OR_RETURN(const std::vector<InstalledModel> models, installed_models(folder));
  for (const InstalledModel& model : models) {
    if (model.name != name) continue;
    ORRERY_ASSIGN_OR_RETURN(const uint64_t n_bytes, remove_installed(model));
    freed += n_bytes;
    found = true;
  }
  if (found) return freed;
  return Error{ErrorCode::kNotFound,
               "no installed model has this name (orrery models lists them): " + std::string(name)};
}

Result<std::vector<InstalledModel>> installed_models() {
  ORRERY_ASSIGN_OR_RETURN(const fs::path folder, models_folder());
  // Where it cannot be put, the others are still worth naming; opening it says why.
  static_cast<void>(unpack_embedded_model(folder));
  return installed_models(folder);
}

Result<fs::path> resolve_model(std::string_view name_or_path) {
  ORRERY_ASSIGN_OR_RETURN(const fs::path folder, models_folder());
  std::error_code error;
  if (name_or_path == kEmbeddedModel && !fs::exists(name_or_path, error)) return unpack_embedded_model(folder);
  return resolve_model(name_or_path, folder);
}

}  // namespace orrery
