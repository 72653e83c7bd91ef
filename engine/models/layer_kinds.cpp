#include "engine/models/layer_kinds.h"

#include <string>

namespace orrery {

namespace {

Result<LayerKind> kind_of(const ModelFile& file, ConfigKey key, std::string_view word,
                          std::span<const LayerWord> words) {
  std::string known;
  for (const LayerWord& one : words) {
    if (one.word == word) return one.kind;
    known += (known.empty() ? "" : ", ") + std::string(one.word);
  }
  return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(key) + " may have " + known + ", but has " +
                                            std::string(word.substr(0, 60))};
}

}  // namespace

Result<std::vector<LayerKind>> read_layer_kinds(const ModelFile& file, std::span<const ConfigKey> keys,
                                                std::span<const LayerWord> words, int64_t n_layers) {
  std::vector<LayerKind> kinds;
  for (const ConfigKey key : keys) {
    if (!file.has(key)) continue;
    ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> listed, file.texts_per_layer(key, n_layers));
    for (const std::string& word : listed) {
      ORRERY_ASSIGN_OR_RETURN(const LayerKind kind, kind_of(file, key, word, words));
      kinds.push_back(kind);
    }
    return kinds;
  }
  return kinds;
}

Result<std::vector<LayerKind>> read_layer_pattern(const ModelFile& file, ConfigKey key,
                                                  std::span<const LayerWord> letters, int64_t n_layers) {
  ORRERY_ASSIGN_OR_RETURN(const std::string pattern, file.text(key));
  if (static_cast<int64_t>(pattern.size()) != n_layers) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(key) + " must have " +
                                              std::to_string(n_layers) + " letters, one for each layer, but has " +
                                              std::to_string(pattern.size()) + ": " + pattern.substr(0, 60)};
  }
  std::vector<LayerKind> kinds;
  for (const char& letter : pattern) {
    ORRERY_ASSIGN_OR_RETURN(const LayerKind kind, kind_of(file, key, {&letter, 1}, letters));
    kinds.push_back(kind);
  }
  return kinds;
}

Result<std::vector<LayerKind>> layer_kinds_by_heads(const ModelFile& file, int64_t n_layers) {
  constexpr int64_t kMostHeads = 4096;
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> kv_heads,
                          file.integers_per_layer({"attention.head_count_kv", ""}, n_layers, 0, kMostHeads));
  std::vector<LayerKind> kinds;
  for (const int64_t n : kv_heads) kinds.push_back(n == 0 ? LayerKind::kState : LayerKind::kAttention);
  return kinds;
}

}  // namespace orrery
