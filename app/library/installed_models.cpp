#include "app/library/installed_models.h"

#include <algorithm>
#include <system_error>

#include "app/library/folders.h"
#include "app/library/known_models.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

std::string name_of_file(const fs::path& path) {
  for (const KnownModel& model : known_models()) {
    if (path.filename() == model.file_name) return model.name;
  }
  return path.stem().string();
}

uint64_t bytes_in(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const uint64_t n_bytes = entry->is_regular_file(ignored) ? entry->file_size(ignored) : 0;
    if (!ignored) total += n_bytes;
  }
  return total;
}

}  // namespace

Result<std::vector<InstalledModel>> installed_models(const fs::path& folder) {
  std::vector<InstalledModel> models;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory) return models;
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    std::error_code ignored;
    if (path.filename().string().starts_with('.')) continue;
    if (entry->is_regular_file(ignored) && path.extension() == ".gguf") {
      const uint64_t n_bytes = entry->file_size(ignored);
      models.push_back({name_of_file(path), path, ignored ? 0 : n_bytes});
    } else if (entry->is_directory(ignored) && fs::is_regular_file(path / "config.json", ignored)) {
      models.push_back({path.filename().string(), path, bytes_in(path)});
    }
  }
  if (error) {
    return Error{ErrorCode::kIo, "cannot read the folder of models (" + error.message() + "): " + folder.string()};
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

Result<std::vector<InstalledModel>> installed_models() {
  ORRERY_ASSIGN_OR_RETURN(const fs::path folder, models_folder());
  return installed_models(folder);
}

Result<fs::path> resolve_model(std::string_view name_or_path) {
  ORRERY_ASSIGN_OR_RETURN(const fs::path folder, models_folder());
  return resolve_model(name_or_path, folder);
}

}  // namespace orrery
