#include "engine/tokenizers/unigram_encoder.h"

#include <algorithm>
#include <limits>

#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/escaped_spaces.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {
namespace {

ByteTrie trie_of(const Vocabulary& vocabulary, std::initializer_list<TokenType> types) {
  std::vector<ByteTrie::Entry> entries;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (std::find(types.begin(), types.end(), vocabulary.type(id)) != types.end()) {
      entries.push_back({vocabulary.text(id), id});
    }
  }
  return ByteTrie(std::move(entries));
}

}  // namespace

UnigramEncoder::UnigramEncoder(const std::shared_ptr<const Vocabulary>& vocabulary, std::vector<float> scores,
                               Charsmap charsmap, Options options)
    : scores_(scores.begin(), scores.end()),
      charsmap_(std::move(charsmap)),
      options_(options),
      tokens_(trie_of(*vocabulary, {TokenType::kNormal, TokenType::kUserDefined, TokenType::kUnused})),
      user_defined_(trie_of(*vocabulary, {TokenType::kUserDefined})) {
  constexpr float kUnknownPenalty = 10;
  float lowest = std::numeric_limits<float>::max();
  for (int32_t id = 0; id < vocabulary->size(); ++id) {
    const auto index = static_cast<size_t>(id);
    if (vocabulary->type(id) == TokenType::kNormal) lowest = std::min(lowest, scores[index]);
    if (vocabulary->type(id) == TokenType::kUserDefined) scores_[index] = 0;
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

Result<void> UnigramEncoder::encode(std::string_view fragment, bool /*begins*/, std::vector<int32_t>& ids) const {
  const std::string text = normalize(fragment);
  struct Best {
    double score = std::numeric_limits<double>::lowest();
    size_t begin = 0;  // of the last token on the best way to here
    int32_t id = kUnknown;
  };
  std::vector<Best> best(text.size() + 1);
  best[0].score = 0;
  const auto offer = [&](size_t begin, size_t end, int32_t id, double score) {
    if (best[begin].score + score > best[end].score) best[end] = {best[begin].score + score, begin, id};
  };
  for (size_t begin = 0; begin < text.size();) {
    const size_t character = std::min(length_by_lead(text[begin]), text.size() - begin);
    bool covers_character = false;
    uint32_t node = tokens_.child(ByteTrie::kRoot, text[begin]);
    for (size_t end = begin + 1; node != ByteTrie::kRoot; ++end) {
      if (const auto id = tokens_.value(node)) {
        covers_character = covers_character || end - begin == character;
        offer(begin, end, *id, scores_[static_cast<size_t>(*id)]);
      }
      if (end == text.size()) break;
      node = tokens_.child(node, text[end]);
    }
    if (!covers_character) offer(begin, begin + character, kUnknown, unknown_score_);
    begin += character;
  }
  const size_t first = ids.size();
  bool after_unknown = false;
  for (size_t end = text.size(); end > 0; end = best[end].begin) {
    const bool is_unknown = best[end].id == kUnknown || best[end].id == options_.unknown;
    const auto id = is_unknown ? options_.unknown : std::optional<int32_t>(best[end].id);
    if (id && !(is_unknown && after_unknown)) ids.push_back(*id);
    after_unknown = is_unknown;
  }
  std::reverse(ids.begin() + static_cast<ptrdiff_t>(first), ids.end());
  return {};
}

std::string UnigramEncoder::normalize(std::string_view text) const {
  std::string out;
  out.reserve(text.size() * 2);
  bool in_word = false;
  bool has_space = !options_.adds_space;
  for (size_t offset = 0; offset < text.size();) {
    for (const char c : normalize_prefix(text, offset)) {
      if (c == ' ') {
        in_word = false;
        if (!options_.removes_extra_spaces) out += kEscapedSpace;
        continue;
      }
      if (!in_word && (!has_space || options_.removes_extra_spaces)) {
        out += kEscapedSpace;
        has_space = true;
      }
      in_word = true;
      out += c;
    }
  }
  return out;
}

// What the text at `offset` becomes, which moves past it: user-defined tokens stay, and so does, as in llama.cpp, any
// beginning of one.
std::string_view UnigramEncoder::normalize_prefix(std::string_view text, size_t& offset) const {
  const size_t begin = offset;
  size_t end = begin;
  for (uint32_t node = ByteTrie::kRoot; end < text.size(); ++end) {
    node = user_defined_.child(node, text[end]);
    if (node == ByteTrie::kRoot) break;
  }
  if (end > begin) {
    offset = end;
    return text.substr(begin, end - begin);
  }
  if (const auto match = charsmap_.find(text, begin)) {
    offset += match->length;
    return match->replacement;
  }
  const size_t length = lenient_length(text, begin);
  offset += std::max<size_t>(length, 1);
  return length == 0 ? kReplacementCharacter : text.substr(begin, length);
}

}  // namespace orrery
