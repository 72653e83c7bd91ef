#include "engine/tokenizers/hf_words.h"

#include <limits>
#include <utility>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

Result<void> append_unknown(std::optional<int32_t> unknown, std::string_view piece, std::vector<int32_t>& ids) {
  if (!unknown) {
    return Error{ErrorCode::kUnsupported,
                 "the tokenizer has no token for this word, nor an unknown one: " + in_quotes(piece)};
  }
  ids.push_back(*unknown);
  return {};
}

}  // namespace

Result<std::unique_ptr<const HfModel>> HfWordLevel::read(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(HfIds ids, read_hf_vocabulary(object));
  ORRERY_ASSIGN_OR_RETURN(const std::string unknown, object.text("unk_token", "<unk>"));
  std::unique_ptr<HfWordLevel> model(new HfWordLevel(std::move(ids)));
  model->unknown_ = model->find(unknown);
  return std::unique_ptr<const HfModel>(std::move(model));
}

Result<void> HfWordLevel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  const auto id = find(std::string(piece));
  if (!id) return append_unknown(unknown_, piece, ids);
  ids.push_back(*id);
  return {};
}

Result<std::unique_ptr<const HfModel>> HfWordPiece::read(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(HfIds ids, read_hf_vocabulary(object));
  ORRERY_ASSIGN_OR_RETURN(const std::string unknown, object.text("unk_token", "[UNK]"));
  ORRERY_ASSIGN_OR_RETURN(const std::string prefix, object.text("continuing_subword_prefix", "##"));
  ORRERY_ASSIGN_OR_RETURN(const int64_t max_characters,
                          object.integer("max_input_chars_per_word", 0, std::numeric_limits<int64_t>::max(), 100));
  std::unique_ptr<HfWordPiece> model(new HfWordPiece(std::move(ids)));
  model->unknown_ = model->find(unknown);
  model->max_characters_ = static_cast<size_t>(max_characters);
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (const auto& [spelling, id] : model->ids()) {
    if (spelling.size() > kMaxTokenBytes) {
      return object.invalid("has a token of more than " + std::to_string(kMaxTokenBytes) +
                            " bytes: " + in_quotes(spelling));
    }
    if (!spelling.empty()) entries.emplace_back(spelling, id);
  }
  model->trie_ = HfTrie(std::move(entries));
  model->continued_ = model->trie_.walk(0, prefix);
  model->has_continued_ = prefix.empty() || model->continued_ != 0;
  return std::unique_ptr<const HfModel>(std::move(model));
}

Result<void> HfWordPiece::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (count_characters(piece) > max_characters_) return append_unknown(unknown_, piece, ids);
  const size_t n_before = ids.size();
  for (size_t begin = 0; begin < piece.size();) {
    size_t longest = begin;
    int32_t id = HfTrie::kNone;
    uint32_t node = begin == 0 ? 0 : continued_;
    bool inside = begin == 0 || has_continued_;
    for (size_t end = begin; inside && end < piece.size();) {
      node = trie_.child(node, static_cast<uint8_t>(piece[end++]));
      inside = node != 0;
      if (!inside || trie_.value(node) < 0) continue;
      longest = end;
      id = trie_.value(node);
    }
    if (id < 0) {
      ids.resize(n_before);
      return append_unknown(unknown_, piece, ids);
    }
    ids.push_back(id);
    begin = longest;
  }
  return {};
}

}  // namespace orrery
