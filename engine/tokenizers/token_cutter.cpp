#include "engine/tokenizers/token_cutter.h"

#include <algorithm>
#include <map>

namespace orrery {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::vector<TokenCutter::Token> longest_first(const Vocabulary& vocabulary, std::vector<TokenCutter::Token> tokens) {
  std::erase_if(tokens, [&](const TokenCutter::Token& token) {
    const size_t size = vocabulary.text(token.id).size();
    return size == 0 || size > TokenCutter::kMaxLength;
  });
  // Not a stable sort: llama.cpp's is not, and which of two equally long tokens cuts first may matter.
  std::sort(tokens.begin(), tokens.end(), [&](const TokenCutter::Token& a, const TokenCutter::Token& b) {
    return vocabulary.text(a.id).size() > vocabulary.text(b.id).size();
  });
  return tokens;
}

std::vector<ByteTrie::Entry> entries_of(const Vocabulary& vocabulary, const std::vector<TokenCutter::Token>& tokens) {
  std::vector<ByteTrie::Entry> entries;
  // The first of equal spellings is to stay, so it comes last.
  for (size_t i = tokens.size(); i-- > 0;) entries.push_back({vocabulary.text(tokens[i].id), static_cast<int32_t>(i)});
  return entries;
}

using Parts = std::map<size_t, TokenCutter::Part>;  // by begin

// Cuts the text part `at` at each place of `spelling`; returns the part behind.
Parts::iterator cut_part(std::string_view text, std::string_view spelling, const TokenCutter::Token& token,
                         Parts& parts, Parts::iterator at) {
  while (true) {
    const auto [begin, length, id] = at->second;
    const size_t match = text.substr(0, begin + length).find(spelling, begin);
    if (match == std::string_view::npos) return std::next(at);
    size_t left_end = match;
    while (token.strips_left && left_end > begin && is_space(text[left_end - 1])) --left_end;
    const size_t end = begin + length;
    size_t right = match + spelling.size();
    while (token.strips_right && right < end && is_space(text[right])) ++right;
    parts.erase(at);
    if (left_end > begin) parts[begin] = {begin, left_end - begin, std::nullopt};
    const auto cut = parts.insert_or_assign(match, TokenCutter::Part{match, spelling.size(), token.id}).first;
    if (right == end) return std::next(cut);
    at = parts.insert_or_assign(right, TokenCutter::Part{right, end - right, std::nullopt}).first;
  }
}

}  // namespace

TokenCutter::TokenCutter(std::shared_ptr<const Vocabulary> vocabulary, std::vector<Token> tokens)
    : vocabulary_(std::move(vocabulary)),
      tokens_(longest_first(*vocabulary_, std::move(tokens))),
      trie_(entries_of(*vocabulary_, tokens_)) {}

// Most tokens are not in the text at all: one walk over it tells which are, and between which places.
std::vector<TokenCutter::Places> TokenCutter::find_places(std::string_view text) const {
  std::vector<Places> places(tokens_.size());
  for (size_t begin = 0; begin < text.size(); ++begin) {
    uint32_t node = trie_.child(ByteTrie::kRoot, text[begin]);
    for (size_t end = begin + 1; node != ByteTrie::kRoot; ++end) {
      if (const auto index = trie_.value(node)) {
        Places& place = places[static_cast<size_t>(*index)];
        if (!place.any) place.first = begin;
        place.last = begin;
        place.any = true;
      }
      if (end == text.size()) break;
      node = trie_.child(node, text[end]);
    }
  }
  return places;
}

std::vector<TokenCutter::Part> TokenCutter::cut(std::string_view text, bool parse_special) const {
  if (text.empty()) return {};
  Parts parts = {{0, {0, text.size(), std::nullopt}}};
  const std::vector<Places> places = find_places(text);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (!places[i].any || (tokens_[i].on_request && !parse_special)) continue;
    auto part = parts.upper_bound(places[i].first);
    if (part != parts.begin()) --part;
    while (part != parts.end() && part->first <= places[i].last) {
      part = part->second.id ? std::next(part) : cut_part(text, text_of(tokens_[i]), tokens_[i], parts, part);
    }
  }
  std::vector<Part> result;
  result.reserve(parts.size());
  for (const auto& [begin, part] : parts) result.push_back(part);
  return result;
}

}  // namespace orrery
