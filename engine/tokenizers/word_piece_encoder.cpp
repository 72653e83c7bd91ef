#include "engine/tokenizers/word_piece_encoder.h"

#include <optional>

#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/escaped_spaces.h"
#include "engine/tokenizers/unicode_classes.h"

namespace orrery {
namespace {

// BERT's own list, in which extension E begins late.
bool is_chinese(uint32_t code_point) {
  return is_han(code_point) && !(code_point >= 0x2b820 && code_point < 0x2b920) &&
         !(code_point >= 0x2ceb0 && code_point <= 0x2ebef);
}

ByteTrie trie_of(const Vocabulary& vocabulary) {
  std::vector<ByteTrie::Entry> entries;
  for (int32_t id = vocabulary.size(); id-- > 0;) entries.push_back({vocabulary.text(id), id});  // the first stays
  return ByteTrie(std::move(entries));
}

bool stands_alone(uint32_t code_point) {
  const UnicodeClass kind = unicode_class(code_point);
  return kind == UnicodeClass::kPunctuation || (code_point < 0x7f && kind == UnicodeClass::kSymbol) ||
         is_chinese(code_point);
}

}  // namespace

WordPieceEncoder::WordPieceEncoder(const Vocabulary& vocabulary, Options options)
    : options_(options), tokens_(trie_of(vocabulary)) {}

Result<void> WordPieceEncoder::encode(std::string_view fragment, bool /*begins*/, std::vector<int32_t>& ids) const {
  for (const std::string& word : words_of(fragment)) encode_word(std::string(kEscapedSpace) + word, ids);
  return {};
}

std::vector<std::string> WordPieceEncoder::words_of(std::string_view text) const {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (size_t offset = 0; offset < text.size();) {
    uint32_t point = next_code_point(text, offset);
    if (options_.strips_accents) point = base_letter(point);
    if (is_white_space(point)) {
      finish();
      continue;
    }
    const UnicodeClass kind = unicode_class(point);
    if (point == 0 || point == 0xfffd || kind == UnicodeClass::kControl) continue;
    if (options_.strips_accents && kind == UnicodeClass::kMark) continue;
    const bool alone = stands_alone(point);
    if (alone) finish();
    append_utf8(options_.lower_case ? lower_case(point) : point, word);
    if (alone) finish();
  }
  finish();
  return words;
}

void WordPieceEncoder::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  const size_t first = ids.size();
  for (size_t begin = 0; begin < word.size();) {
    std::optional<int32_t> longest;
    size_t length = 0;
    uint32_t node = tokens_.child(ByteTrie::kRoot, word[begin]);
    for (size_t end = begin + 1; node != ByteTrie::kRoot; ++end) {
      if (const auto id = tokens_.value(node)) {
        longest = id;
        length = end - begin;
      }
      if (end == word.size()) break;
      node = tokens_.child(node, word[end]);
    }
    if (!longest) {
      ids.resize(first);
      break;
    }
    ids.push_back(*longest);
    begin += length;
  }
  if (ids.size() == first) ids.push_back(options_.unknown);
}

}  // namespace orrery
