// HfFolder: a Hugging Face model folder: config.json, and model.safetensors, or the shards that
// model.safetensors.index.json lists, or, with neither, every *.safetensors file there.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/formats/safetensors.h"
#include "engine/formats/stored_tensor.h"
#include "kernels/base/result.h"

namespace orrery {

// Immutable once open; safe from any thread.
class HfFolder final : public TensorSource {
 public:
  // kNotFound: no folder, config.json or weights. kInvalidFile: damaged JSON or safetensors, a shard named by a path
  // that leaves the folder, a tensor that the index and the shards do not agree on, the same tensor twice.
  // Symbolic links may point within the folder, or from a hub cache's snapshots/<revision>/ to its blobs/.
  static Result<std::shared_ptr<const HfFolder>> open(const std::filesystem::path& path);

  // True for a folder that holds a config.json.
  static bool looks_like(const std::filesystem::path& path);

  const std::string& path() const override { return path_; }
  const nlohmann::json& config() const { return config_; }  // an object; values as the file has them, unchecked
  std::span<const SafetensorsFile> shards() const { return shards_; }

  std::span<const StoredTensor> tensors() const override { return tensors_; }
  const StoredTensor* find_tensor(std::string_view name) const override;

 private:
  HfFolder() = default;

  std::string path_;
  nlohmann::json config_;
  std::vector<SafetensorsFile> shards_;  // by file name
  std::vector<StoredTensor> tensors_;    // of all shards
  std::map<std::string_view, size_t> tensor_index_;
};

}  // namespace orrery
