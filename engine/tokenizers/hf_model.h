// HfModel: the "model" of a tokenizer.json: what turns one piece of text into ids.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/tokenizers/hf_json.h"
#include "kernels/base/result.h"

namespace orrery {

// The ids of spellings.
using HfIds = std::unordered_map<std::string, int32_t>;

// Immutable; safe from any thread.
class HfModel {
 public:
  // Ids lie below this, and not far above the number of tokens: a small file cannot ask for a large table.
  static constexpr int64_t kMaxIds = int64_t{1} << 24;

  // kUnsupported for a kind that is not there, by its name; kInvalidFile for fields that are missing or wrong, ids that
  // two tokens share, merges of what is no token.
  static Result<std::unique_ptr<const HfModel>> make(const HfObject& object);

  virtual ~HfModel() = default;

  // Appends the ids of `piece` (valid UTF-8, not empty, below 2 GiB). kUnsupported where the piece holds what the
  // vocabulary has no token for, not even an unknown one.
  virtual Result<void> encode(std::string_view piece, std::vector<int32_t>& ids) const = 0;

  const HfIds& ids() const { return ids_; }
  std::string_view kind() const { return kind_; }  // "BPE"

 protected:
  HfModel(std::string kind, HfIds ids) : ids_(std::move(ids)), kind_(std::move(kind)) {}

  std::optional<int32_t> find(const std::string& spelling) const {
    const auto at = ids_.find(spelling);
    return at == ids_.end() ? std::nullopt : std::optional<int32_t>(at->second);
  }

 private:
  const HfIds ids_;
  const std::string kind_;
};

// The field "vocab" as an object of ids.
Result<HfIds> read_hf_vocabulary(const HfObject& model);

// The spelling of a byte as a token, "<0x0A>".
std::string hf_byte_token(uint8_t byte);

}  // namespace orrery
