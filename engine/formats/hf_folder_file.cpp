#include "engine/formats/hf_folder_file.h"

#include <algorithm>
#include <system_error>

#include "engine/formats/bounded_json.h"
#include "engine/formats/mapped_file.h"
#include "engine/formats/quoted.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

bool is_inside(const fs::path& canonical, const fs::path& folder) {
  const auto [at, ignored] = std::mismatch(folder.begin(), folder.end(), canonical.begin(), canonical.end());
  return at == folder.end();
}

bool exists(const fs::path& folder, std::string_view name) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(folder / name, ignored));
}

}  // namespace

Result<fs::path> hf_folder_file(const fs::path& folder, std::string_view name) {
  const fs::path path = folder / name;
  std::error_code error;
  if (!fs::exists(path, error)) {
    return Error{ErrorCode::kNotFound, folder.string() + " lacks the file " + in_quotes(name)};
  }
  const fs::path target = fs::canonical(path, error);
  const fs::path home = error ? fs::path() : fs::canonical(folder, error);
  if (error) return Error{ErrorCode::kIo, "cannot read " + path.string() + ": " + error.message()};
  const bool in_hub_cache = home.parent_path().filename() == "snapshots";
  if (is_inside(target, home) || (in_hub_cache && is_inside(target, home.parent_path().parent_path() / "blobs")))
    return path;
  return Error{ErrorCode::kInvalidFile, folder.string() + ": " + in_quotes(name) + " is a link that leaves the folder"};
}

Result<nlohmann::json> read_hf_json(const fs::path& folder, std::string_view name, size_t max_bytes) {
  ORRERY_ASSIGN_OR_RETURN(const fs::path path, hf_folder_file(folder, name));
  ORRERY_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  return parse_json_object(file.text(), max_bytes, file.path());
}

Result<std::optional<nlohmann::json>> read_optional_hf_json(const fs::path& folder, std::string_view name,
                                                            size_t max_bytes) {
  if (!exists(folder, name)) return std::optional<nlohmann::json>();
  ORRERY_ASSIGN_OR_RETURN(nlohmann::json json, read_hf_json(folder, name, max_bytes));
  return std::optional<nlohmann::json>(std::move(json));
}

Result<std::optional<std::string>> read_optional_hf_text(const fs::path& folder, std::string_view name,
                                                         size_t max_bytes) {
  if (!exists(folder, name)) return std::optional<std::string>();
  ORRERY_ASSIGN_OR_RETURN(const fs::path path, hf_folder_file(folder, name));
  ORRERY_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  if (file.size() > max_bytes) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": it is longer than " + std::to_string(max_bytes) +
                                              " bytes: " + std::to_string(file.size())};
  }
  return std::optional<std::string>(file.text());
}

}  // namespace orrery
