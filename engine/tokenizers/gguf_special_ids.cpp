#include "engine/tokenizers/gguf_special_ids.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>

namespace orrery {
namespace {

using Names = std::initializer_list<std::string_view>;

constexpr std::array<std::string_view, 23> kEnds = {"<|eot_id|>",
                                                    "<|im_end|>",
                                                    "<|end|>",
                                                    "<|return|>",
                                                    "<|call|>",
                                                    "<|flush|>",
                                                    "<|calls|>",
                                                    "<end_of_turn>",
                                                    "<|endoftext|>",
                                                    "</s>",
                                                    "<|eom_id|>",
                                                    "<EOT>",
                                                    "_<EOT>",
                                                    "[EOT]",
                                                    "[EOS]",
                                                    "<|end_of_text|>",
                                                    "<end_of_utterance>",
                                                    "<eos>",
                                                    "<turn|>",
                                                    "<|tool_response>",
                                                    "<｜end▁of▁sentence｜>",
                                                    "[e~["};
// Shown to the user although they structure a message (OpenAI's harmony format).
constexpr std::array<std::string_view, 4> kShown = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

void set_type(Vocabulary& vocabulary, int32_t id, TokenType type) { vocabulary.types[static_cast<size_t>(id)] = type; }

std::optional<int32_t> id_under(const GgufFile& file, const Vocabulary& vocabulary, std::string_view key) {
  const GgufValue* value = file.find("tokenizer.ggml." + std::string(key));
  const auto id = value == nullptr ? std::nullopt : value->as_i64();
  return id && *id >= 0 && *id < vocabulary.size() ? std::optional<int32_t>(static_cast<int32_t>(*id)) : std::nullopt;
}

// A token with a key of its own, or else the first of `names`, which is then a control token.
std::optional<int32_t> find_by_key_or_name(const GgufFile& file, Vocabulary& vocabulary, Names keys, Names names) {
  std::optional<int32_t> id;
  for (const std::string_view key : keys) {
    if (const auto found = id_under(file, vocabulary, key)) id = found;
  }
  for (const std::string_view name : names) {
    if (id) break;
    id = vocabulary.find(name);
    if (id) set_type(vocabulary, *id, TokenType::kControl);
  }
  return id;
}

}  // namespace

void read_special_ids(const GgufFile& file, const Vocabulary& vocabulary, SpecialIds& ids) {
  const auto read = [&](std::string_view key, std::optional<int32_t>& id) {
    if (id && !vocabulary.contains(*id)) id.reset();
    if (const auto found = id_under(file, vocabulary, key)) id = found;
  };
  read("bos_token_id", ids.bos);
  read("eos_token_id", ids.eos);
  read("unknown_token_id", ids.unknown);
  read("seperator_token_id", ids.separator);  // so spelled in the format
  ids.has_eos_key = id_under(file, vocabulary, "eos_token_id").has_value();
}

std::vector<int32_t> find_end_tokens(const GgufFile& file, const SpecialIds& ids, Vocabulary& vocabulary) {
  std::vector<int32_t> ends;
  const auto add = [&](std::optional<int32_t> id) {
    if (id) ends.push_back(*id);
  };
  // What a model of code fills in between: the parts' names are control tokens, and a file's name ends the text.
  find_by_key_or_name(file, vocabulary, {"fim_pre_token_id", "prefix_token_id"},
                      {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
                       "<|code_prefix|>", "<|prefix|>"});
  find_by_key_or_name(file, vocabulary, {"fim_suf_token_id", "suffix_token_id"},
                      {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
                       "<|code_suffix|>", "<|suffix|>"});
  find_by_key_or_name(file, vocabulary, {"fim_mid_token_id", "middle_token_id"},
                      {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
                       "<|code_middle|>", "<|middle|>"});
  add(find_by_key_or_name(file, vocabulary, {"fim_pad_token_id"},
                          {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}));
  add(find_by_key_or_name(file, vocabulary, {"fim_rep_token_id"},
                          {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}));
  add(find_by_key_or_name(file, vocabulary, {"fim_sep_token_id"}, {"<|file_sep|>"}));
  for (const std::string_view name : kEnds) {
    const auto id = name.empty() ? std::nullopt : vocabulary.find(name);
    if (id) set_type(vocabulary, *id, TokenType::kControl);
    add(id);
  }
  for (const std::string_view name : kShown) {
    if (const auto id = vocabulary.find(name)) set_type(vocabulary, *id, TokenType::kUserDefined);
  }
  // llama.cpp takes a token for the end of texts even where the file names none; here only one that is no plain text.
  if (ids.eos && (ids.has_eos_key || vocabulary.type(*ids.eos) != TokenType::kNormal)) add(ids.eos);
  add(id_under(file, vocabulary, "eot_token_id"));
  add(id_under(file, vocabulary, "eom_token_id"));

  const auto ends_by = [&](std::string_view name) {
    const auto id = vocabulary.find(name);
    return id && std::find(ends.begin(), ends.end(), *id) != ends.end();
  };
  const auto take_out = [&](std::string_view name, TokenType type) {
    if (!ends_by(name)) return;
    const int32_t id = *vocabulary.find(name);
    std::erase(ends, id);
    set_type(vocabulary, id, type);
  };
  // In the harmony format <|end|> ends a message only; beside <|tool_response>, </s> is an ordinary token.
  if ((ends_by("<|call|>") || ends_by("<|calls|>")) && (ends_by("<|return|>") || ends_by("<|flush|>"))) {
    take_out("<|end|>", TokenType::kUserDefined);
  }
  if (ends_by("<|tool_response>")) take_out("</s>", TokenType::kNormal);
  return ends;
}

}  // namespace orrery
