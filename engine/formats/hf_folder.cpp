#include "engine/formats/hf_folder.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "engine/formats/hf_folder_file.h"
#include "engine/formats/quoted.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = 16u << 20;
constexpr size_t kMaxIndexBytes = 64u << 20;
constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kSingleName = "model.safetensors";

Error invalid(const std::string& path, const std::string& why) {
  return Error{ErrorCode::kInvalidFile, path + ": " + why};
}

bool is_plain_file_name(std::string_view name) {
  const bool safe = name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
  return safe && !name.empty() && name != "." && name != ".." && name.ends_with(".safetensors");
}

// The shards' names, ascending, from the index; tensor names point to them in `weight_map`.
Result<std::set<std::string>> shard_names(const nlohmann::json& index, const std::string& path) {
  if (!index.contains("weight_map") || !index["weight_map"].is_object()) return invalid(path, "it has no weight_map");
  std::set<std::string> names;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string() || !is_plain_file_name(shard.get_ref<const std::string&>())) {
      return invalid(path, "tensor " + in_quotes(tensor) +
                               " is not in a plain .safetensors file of the folder, but in " +
                               printable(shard.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
    }
    names.insert(shard.get<std::string>());
  }
  if (names.empty()) return invalid(path, "its weight_map is empty");
  return names;
}

// Every *.safetensors file of a folder whose weights have neither the usual name nor an index.
std::set<std::string> all_safetensors(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (const std::string name = it->path().filename().string(); is_plain_file_name(name)) names.insert(name);
  }
  return names;
}

}  // namespace

bool HfFolder::looks_like(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) && fs::is_regular_file(path / "config.json", error);
}

Result<std::shared_ptr<const HfFolder>> HfFolder::open(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return Error{ErrorCode::kNotFound, "there is no such folder: " + path.string()};
  const std::shared_ptr<HfFolder> folder(new HfFolder);
  folder->path_ = path.string();
  ORRERY_ASSIGN_OR_RETURN(folder->config_, read_hf_json(path, "config.json", kMaxConfigBytes));

  nlohmann::json index;
  std::set<std::string> names;
  if (fs::exists(path / kSingleName, error)) {
    names.insert(std::string(kSingleName));
  } else if (fs::exists(path / kIndexName, error)) {
    ORRERY_ASSIGN_OR_RETURN(index, read_hf_json(path, kIndexName, kMaxIndexBytes));
    ORRERY_ASSIGN_OR_RETURN(names, shard_names(index, (path / kIndexName).string()));
  } else {
    names = all_safetensors(path);
  }
  if (names.empty()) return Error{ErrorCode::kNotFound, path.string() + " has no weights: no *.safetensors file"};
  for (const std::string& name : names) {
    ORRERY_ASSIGN_OR_RETURN(const fs::path file, hf_folder_file(path, name));
    ORRERY_ASSIGN_OR_RETURN(SafetensorsFile shard, SafetensorsFile::open(file));
    folder->tensors_.insert(folder->tensors_.end(), shard.tensors().begin(), shard.tensors().end());
    folder->shards_.push_back(std::move(shard));
  }
  for (size_t i = 0; i < folder->tensors_.size(); ++i) {
    if (!folder->tensor_index_.emplace(folder->tensors_[i].name, i).second) {
      return invalid(folder->path_, "two shards hold the tensor " + in_quotes(folder->tensors_[i].name));
    }
  }
  if (!index.is_null()) {
    for (const auto& [name, shard] : index["weight_map"].items()) {
      const StoredTensor* tensor = folder->find_tensor(name);
      if (tensor == nullptr || fs::path(tensor->path).filename() != shard.get_ref<const std::string&>()) {
        return invalid((path / kIndexName).string(), "the shard " + in_quotes(shard.get_ref<const std::string&>()) +
                                                         " does not hold the tensor " + in_quotes(name));
      }
    }
  }
  return std::shared_ptr<const HfFolder>(folder);
}

const StoredTensor* HfFolder::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace orrery
