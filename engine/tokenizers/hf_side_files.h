// HfSideFiles: what lies beside a tokenizer.json: names of special tokens, ids that end a generation, the chat
// template.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/tokenizers/hf_added_tokens.h"
#include "kernels/base/result.h"

namespace orrery {

// As transformers 5 reads tokenizer_config.json, special_tokens_map.json, added_tokens.json, chat_template.jinja,
// generation_config.json and config.json, each of which may be missing.
struct HfSideFiles {
  // Tokens of added_tokens_decoder, by id, or of added_tokens.json; the ids themselves are the tokenizer's.
  std::vector<HfAddedToken> added;
  // Tokens with a name: bos_token, eos_token, unk_token, …; then the additional ones, without.
  std::vector<HfAddedToken> special;
  std::string bos, eos;  // contents; empty: none
  bool add_bos = false, add_eos = false;
  bool add_prefix_space = false;
  bool cleans_up = false;  // clean_up_tokenization_spaces
  std::string chat_template;
  // From generation_config.json or else config.json, unchecked against the vocabulary.
  std::vector<int32_t> end_ids;
  std::optional<int32_t> bos_id;

  static Result<HfSideFiles> read(const std::filesystem::path& folder);
};

}  // namespace orrery
