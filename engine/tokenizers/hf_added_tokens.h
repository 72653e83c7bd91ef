// HfAddedTokens: the tokens that are looked for in a text before its model is asked.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/tokenizers/hf_json.h"
#include "engine/tokenizers/hf_model.h"
#include "engine/tokenizers/hf_normalizer.h"
#include "engine/tokenizers/special_tokens.h"
#include "kernels/base/result.h"

namespace orrery {

// As tokenizer.json and tokenizer_config.json write it.
struct HfAddedToken {
  std::string content;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and after it
  bool normalized = true;    // looked for in the normalized text
  bool special = false;      // a control token: left out of decoded text on request
  bool operator==(const HfAddedToken&) const = default;

  // An object of these fields; all but content may be missing.
  static Result<HfAddedToken> read(const HfObject& object);
  // A text, which is taken for a control token, or an object.
  static Result<HfAddedToken> read_special(const nlohmann::json& json, const std::string& where);
};

// A stretch of a text: a token, or what lies between tokens.
struct HfSection {
  std::optional<int32_t> id;
  size_t begin = 0, end = 0;
};

// Filled by add() and finish(); then immutable and safe from any thread.
class HfAddedTokens {
 public:
  // One that is there already takes on the new settings. Contents that are no tokens of the model get the ids behind
  // all others, which are counted as the reference counts them: once for each call, and the model's as if they had no
  // holes. Empty contents are left out. kInvalidFile for one that is too long to look for.
  Result<void> add(std::span<const HfAddedToken> tokens, const HfIds& model_ids);

  // Prepares the search; tokens that are `normalized` are looked for as `normalizer` (may be null) spells them.
  Result<void> finish(const HfNormalizer* normalizer);

  // Cuts `text` (valid UTF-8) at the tokens that are looked for in normalized text, or at the others. Without
  // `parse_special` control tokens stay text, though what they cover is not searched again, as in the reference.
  void split(std::string_view text, bool normalized, bool parse_special,
             const std::function<void(const HfSection&)>& on_section) const;

  const std::unordered_map<int32_t, HfAddedToken>& by_id() const { return by_id_; }
  std::optional<int32_t> find(const std::string& content) const;
  // How decoding spells it: as its text is normalized.
  const std::string& spelling(int32_t id) const { return spellings_.at(id); }
  // Once a control token, always one.
  bool is_special(const std::string& content) const { return special_.contains(content); }

 private:
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<int32_t, HfAddedToken> by_id_;
  std::unordered_map<int32_t, std::string> spellings_;
  std::unordered_set<std::string> special_;
  SpecialTokens plain_, normalized_;
};

}  // namespace orrery
