#include "engine/tokenizers/hf_unigram.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the least score of the vocabulary

}  // namespace

Result<std::unique_ptr<const HfModel>> HfUnigram::read(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* list, object.list("vocab"));
  HfIds ids;
  ids.reserve(list->size());
  std::vector<double> scores;
  std::vector<std::pair<std::string_view, int32_t>> entries;
  double least = std::numeric_limits<double>::infinity();
  for (const nlohmann::json& item : *list) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      return object.invalid("has a token that is no pair of a text and a score, number " +
                            std::to_string(scores.size()) + ": " + shown(item));
    }
    const std::string& spelling = item[0].get_ref<const std::string&>();
    if (spelling.size() > kMaxTokenBytes) {
      return object.invalid("has a token of more than " + std::to_string(kMaxTokenBytes) + " bytes, number " +
                            std::to_string(scores.size()) + ": " + in_quotes(spelling));
    }
    const auto id = static_cast<int32_t>(scores.size());
    scores.push_back(item[1].get<double>());
    least = std::min(least, scores.back());
    ids[spelling] = id;
    if (!spelling.empty()) entries.emplace_back(spelling, id);
    if (id + 1 >= kMaxIds) return object.invalid("has too many tokens: " + std::to_string(list->size()));
  }
  std::unique_ptr<HfUnigram> model(new HfUnigram(std::move(ids)));
  model->trie_ = HfTrie(std::move(entries));
  model->unknown_score_ = least - kUnknownPenalty;
  if (object.find("unk_id") != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(const int64_t unknown,
                            object.integer("unk_id", 0, static_cast<int64_t>(scores.size()) - 1));
    model->unknown_ = static_cast<int32_t>(unknown);
  }
  model->scores_ = std::move(scores);
  ORRERY_ASSIGN_OR_RETURN(const bool byte_fallback, object.flag("byte_fallback", false));
  if (byte_fallback) {
    model->byte_ids_.emplace();
    for (int byte = 0; byte < 256; ++byte) {
      model->byte_ids_->push_back(model->find(hf_byte_token(static_cast<uint8_t>(byte))).value_or(-1));
    }
  }
  return std::unique_ptr<const HfModel>(std::move(model));
}

Result<std::vector<HfUnigram::Best>> HfUnigram::best_paths(std::string_view piece) const {
  std::vector<Best> best(piece.size() + 1);
  const auto offer = [&](size_t end, double score, int32_t id, size_t begin) {
    Best& target = best[end];
    if (target.begin < 0 || score > target.score) target = {score, id, static_cast<int32_t>(begin)};
  };
  for (size_t begin = 0; begin < piece.size();) {
    size_t next = begin;
    next_character(piece, next);
    bool has_single = false;
    uint32_t node = 0;
    for (size_t end = begin; end < piece.size();) {
      node = trie_.child(node, static_cast<uint8_t>(piece[end++]));
      if (node == 0) break;
      const int32_t id = trie_.value(node);
      if (id < 0) continue;
      offer(end, best[begin].score + scores_[static_cast<size_t>(id)], id, begin);
      has_single = has_single || end == next;
    }
    if (!has_single) {
      if (!unknown_) {
        return Error{ErrorCode::kUnsupported, "the tokenizer has no token for this character, nor an unknown one: " +
                                                  in_quotes(piece.substr(begin, next - begin))};
      }
      offer(next, best[begin].score + unknown_score_, *unknown_, begin);
    }
    begin = next;
  }
  return best;
}

// Neighbouring unknown characters are one token, or the bytes of it.
void HfUnigram::append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
  if (const auto id = find(std::string(text))) {
    ids.push_back(*id);
    return;
  }
  const auto id_of = [&](char c) { return (*byte_ids_)[static_cast<uint8_t>(c)]; };
  if (byte_ids_ && std::all_of(text.begin(), text.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (const char c : text) ids.push_back(id_of(c));
    return;
  }
  ids.push_back(*unknown_);
}

Result<void> HfUnigram::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Best> best, best_paths(piece));
  struct Token {
    size_t begin, end;
    int32_t id;
  };
  std::vector<Token> tokens;  // from the last to the first
  for (size_t end = piece.size(); end > 0;) {
    const auto begin = static_cast<size_t>(best[end].begin);
    const int32_t id = best[end].id;
    if (!tokens.empty() && unknown_ && id == *unknown_ && tokens.back().id == id) {
      tokens.back().begin = begin;
    } else {
      tokens.push_back({begin, end, id});
    }
    end = begin;
  }
  for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) {
    if (unknown_ && token->id == *unknown_) {
      append_unknown(piece.substr(token->begin, token->end - token->begin), ids);
    } else {
      ids.push_back(token->id);
    }
  }
  return {};
}

}  // namespace orrery
