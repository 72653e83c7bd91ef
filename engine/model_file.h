// ModelFile: a model on disk, in whichever format: its settings and tensors, asked for by both formats' names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/formats/gguf.h"
#include "engine/formats/hf_folder.h"
#include "kernels/base/result.h"
#include "kernels/base/tensor.h"

namespace orrery {

// One setting under both its names. gguf: without the architecture's prefix ("block_count" is "llama.block_count");
// hf: a key of config.json ("num_hidden_layers"), "a.b" for a nested one, "a.0.b" for one in an entry of a list. Empty
// where a format has no such setting.
struct ConfigKey {
  std::string_view gguf;
  std::string_view hf;
};

// One tensor under both its names; "{}" stands for the layer. Hugging Face names are those of a decoder alone, which
// begin with "model." or "lm_head."; where it is a part of a larger model they are found there.
struct TensorName {
  std::string_view gguf;
  std::string_view hf;
};

// Immutable; safe from any thread.
class ModelFile {
 public:
  enum class Format : uint8_t { kGguf, kHuggingFace };

  // A GGUF file or a Hugging Face folder. Errors as of GgufFile::open and HfFolder::open; kUnsupported for anything
  // else.
  static Result<std::shared_ptr<const ModelFile>> open(const std::filesystem::path& path);

  Format format() const { return gguf_ ? Format::kGguf : Format::kHuggingFace; }
  const std::string& path() const { return source_->path(); }
  std::string name() const;                                          // general.name, or the file's or folder's name
  const std::string& architecture() const { return architecture_; }  // general.architecture, or model_type
  const TensorSource& tensors() const { return *source_; }
  const GgufFile* gguf() const { return gguf_.get(); }      // null for a folder
  const HfFolder* folder() const { return folder_.get(); }  // null for a GGUF file

  bool has(ConfigKey key) const;
  // Whether config.json has the key with the value null, which is not to have it but may mean "none".
  bool is_null(ConfigKey key) const;
  bool is_list(ConfigKey key) const;
  // kInvalidFile naming key, file and value where it is missing without a fallback, of another type, or outside
  // [least, greatest].
  Result<int64_t> integer(ConfigKey key, int64_t least, int64_t greatest, std::optional<int64_t> fallback = {}) const;
  Result<double> number(ConfigKey key, std::optional<double> fallback = {}) const;  // finite
  Result<bool> boolean(ConfigKey key, std::optional<bool> fallback = {}) const;
  Result<std::string> text(ConfigKey key, std::optional<std::string> fallback = {}) const;
  Result<std::vector<double>> numbers(ConfigKey key,
                                      int64_t n) const;  // n finite ones in config.json; GGUF has tensors
  // [least, greatest] in config.json, least <= greatest; either may be infinite ({"__float__": "Infinity"}).
  Result<std::pair<double, double>> range(ConfigKey key, std::pair<double, double> fallback) const;
  // At most `most` whole numbers of config.json, each in [least, greatest].
  Result<std::vector<int64_t>> integers(ConfigKey key, int64_t most, int64_t least, int64_t greatest) const;
  // An integer per layer, given as a list or as one that holds for all of them.
  Result<std::vector<int64_t>> integers_per_layer(ConfigKey key, int64_t n_layers, int64_t least, int64_t greatest,
                                                  std::optional<int64_t> fallback = {}) const;
  // Which of n_layers layers a list in config.json names by their numbers, in any order; none where it is missing.
  Result<std::vector<bool>> named_layers(ConfigKey key, int64_t n_layers) const;
  // How many entries a list of config.json has, at most `most`.
  Result<int64_t> list_length(ConfigKey key, int64_t most) const;
  // A text per layer, of config.json: GGUF has none.
  Result<std::vector<std::string>> texts_per_layer(ConfigKey key, int64_t n_layers) const;

  // As the format spells it: "llama.block_count" or "num_hidden_layers".
  std::string spelled(ConfigKey key) const;
  std::string spelled(TensorName name, int32_t layer = -1) const;

  const StoredTensor* find(TensorName name, int32_t layer = -1) const;
  // The first of several names for one tensor that the file has; the first of all where it has none of them.
  TensorName which(std::initializer_list<TensorName> names, int32_t layer) const;
  // The tensor, of exactly this shape; -1 stands for any size. kInvalidFile where it is missing or of another shape,
  // kUnsupported where its type is. An optional one that is missing is an empty view.
  Result<TensorView> tensor(TensorName name, int32_t layer, Shape expected) const;
  Result<TensorView> optional_tensor(TensorName name, int32_t layer, Shape expected) const;

 private:
  ModelFile() = default;
  const nlohmann::json* json(std::string_view key) const;  // in config.json or its text_config; null: absent or null
  void find_decoder();
  void find_wrapped_decoder();
  Error bad_key(ConfigKey key, std::string_view what) const;

  std::shared_ptr<const GgufFile> gguf_;
  std::shared_ptr<const HfFolder> folder_;
  std::shared_ptr<const TensorSource> source_;
  std::string architecture_;
  std::string_view decoder_prefix_ = "model.";  // where a folder's decoder has its tensors
  std::string_view head_prefix_ = "";           // and its lm_head
};

}  // namespace orrery
