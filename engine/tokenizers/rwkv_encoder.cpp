#include "engine/tokenizers/rwkv_encoder.h"

#include <string>
#include <vector>

namespace orrery {
namespace {

ByteTrie trie_of(const Vocabulary& vocabulary) {
  std::vector<std::string> texts;
  texts.reserve(vocabulary.texts.size());
  for (const std::string_view text : vocabulary.texts) texts.push_back(unescape_rwkv(text));
  std::vector<ByteTrie::Entry> entries;
  entries.reserve(texts.size());
  for (size_t id = 0; id < texts.size(); ++id) entries.push_back({texts[id], static_cast<int32_t>(id)});
  return ByteTrie(std::move(entries));
}

uint32_t hex_digit(char c) { return static_cast<uint32_t>(c >= 'a' ? c - 'a' + 10 : c - '0'); }

}  // namespace

std::string unescape_rwkv(std::string_view spelling) {
  std::string bytes;
  for (size_t i = 0; i < spelling.size(); ++i) {
    if (spelling[i] != '\\') {
      bytes += spelling[i];
      continue;
    }
    if (++i == spelling.size()) break;
    switch (spelling[i]) {
      case 't':
        bytes += '\t';
        break;
      case 'n':
        bytes += '\n';
        break;
      case 'r':
        bytes += '\r';
        break;
      case 'x':
        if (i + 2 >= spelling.size()) return bytes;
        bytes += static_cast<char>(hex_digit(spelling[i + 1]) << 4 | hex_digit(spelling[i + 2]));
        i += 2;
        break;
      default:
        bytes += spelling[i];
    }
  }
  return bytes;
}

RwkvEncoder::RwkvEncoder(const Vocabulary& vocabulary, std::optional<int32_t> unknown)
    : tokens_(trie_of(vocabulary)), unknown_(unknown) {}

Result<void> RwkvEncoder::encode(std::string_view fragment, bool /*begins*/, std::vector<int32_t>& ids) const {
  for (size_t begin = 0; begin < fragment.size();) {
    std::optional<int32_t> longest = unknown_;
    size_t length = 1;
    uint32_t node = tokens_.child(ByteTrie::kRoot, fragment[begin]);
    for (size_t end = begin + 1; node != ByteTrie::kRoot; ++end) {
      if (const auto id = tokens_.value(node)) {
        longest = id;
        length = end - begin;
      }
      if (end == fragment.size()) break;
      node = tokens_.child(node, fragment[end]);
    }
    if (longest) ids.push_back(*longest);
    begin += length;
  }
  return {};
}

}  // namespace orrery
