#include "engine/tokenizers/hf_added_tokens.h"

#include <algorithm>
#include <utility>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

// Where the character begins that ends before `at` (> 0).
size_t previous_character(std::string_view text, size_t at) {
  do {
    --at;
  } while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80);
  return at;
}

char32_t character_at(std::string_view text, size_t at) { return next_character(text, at); }

bool is_inside_word(std::string_view text, size_t begin, size_t end) {
  const bool before = begin > 0 && is_word_character(character_at(text, previous_character(text, begin)));
  const bool after = end < text.size() && is_word_character(character_at(text, end));
  return before || after;
}

}  // namespace

Result<HfAddedToken> HfAddedToken::read(const HfObject& object) {
  HfAddedToken token;
  ORRERY_ASSIGN_OR_RETURN(token.content, object.text("content"));
  ORRERY_ASSIGN_OR_RETURN(token.special, object.flag("special", false));
  ORRERY_ASSIGN_OR_RETURN(token.single_word, object.flag("single_word", false));
  ORRERY_ASSIGN_OR_RETURN(token.lstrip, object.flag("lstrip", false));
  ORRERY_ASSIGN_OR_RETURN(token.rstrip, object.flag("rstrip", false));
  ORRERY_ASSIGN_OR_RETURN(token.normalized, object.flag("normalized", !token.special));
  return token;
}

Result<HfAddedToken> HfAddedToken::read_special(const nlohmann::json& json, const std::string& where) {
  if (json.is_string()) {
    return HfAddedToken{.content = json.get<std::string>(), .normalized = false, .special = true};
  }
  ORRERY_ASSIGN_OR_RETURN(const HfObject object, as_hf_object(json, where));
  ORRERY_ASSIGN_OR_RETURN(HfAddedToken token, read(object));
  token.special = true;
  return token;
}

Result<void> HfAddedTokens::add(std::span<const HfAddedToken> tokens, const HfIds& model_ids) {
  int32_t next_id = static_cast<int32_t>(model_ids.size());
  for (const auto& [id, token] : by_id_) next_id = std::max(next_id, id + 1);
  for (const HfAddedToken& token : tokens) {
    if (token.content.empty()) continue;
    if (token.content.size() > SpecialTokens::kMaxLength) {
      return Error{ErrorCode::kInvalidFile, "it has an added token of more than " +
                                                std::to_string(SpecialTokens::kMaxLength) +
                                                " bytes: " + in_quotes(token.content)};
    }
    const auto model = model_ids.find(token.content);
    const auto [own, is_new] = ids_.emplace(token.content, model == model_ids.end() ? next_id : model->second);
    if (is_new && model == model_ids.end()) ++next_id;
    by_id_[own->second] = token;
    if (token.special) special_.insert(token.content);
  }
  return {};
}

std::optional<int32_t> HfAddedTokens::find(const std::string& content) const {
  const auto at = ids_.find(content);
  return at == ids_.end() ? std::nullopt : std::optional<int32_t>(at->second);
}

Result<void> HfAddedTokens::finish(const HfNormalizer* normalizer) {
  std::vector<int32_t> ids;
  ids.reserve(by_id_.size());
  for (const auto& [id, token] : by_id_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (const int32_t id : ids) {
    const HfAddedToken& token = by_id_.at(id);
    HfPiece piece{token.content, 0};
    if (token.normalized && normalizer != nullptr) {
      HfSearchBudget budget(token.content.size());
      ORRERY_RETURN_IF_ERROR(normalizer->normalize(piece, budget));
    }
    (token.normalized ? normalized_ : plain_).add(piece.text, id);
    spellings_[id] = std::move(piece.text);
  }
  return {};
}

void HfAddedTokens::split(std::string_view text, bool normalized, bool parse_special,
                          const std::function<void(const HfSection&)>& on_section) const {
  const SpecialTokens& trie = normalized ? normalized_ : plain_;
  size_t done = 0;  // what has been reported
  size_t from = 0;
  while (const auto match = trie.find_next(text, from)) {
    size_t begin = match->begin, end = match->begin + match->length;
    from = end;
    const HfAddedToken& token = by_id_.at(match->id);
    if (!parse_special && is_special(token.content)) continue;
    if (token.single_word && is_inside_word(text, begin, end)) continue;
    while (token.lstrip && begin > done) {
      const size_t previous = previous_character(text, begin);
      if (!is_white_space(character_at(text, previous))) break;
      begin = previous;
    }
    while (token.rstrip && end < text.size()) {
      size_t next = end;
      if (!is_white_space(next_character(text, next))) break;
      end = next;
    }
    if (done < begin) on_section({std::nullopt, done, begin});
    on_section({match->id, begin, end});
    done = end;
  }
  if (done < text.size()) on_section({std::nullopt, done, text.size()});
}

}  // namespace orrery
