// TokenCutter: cuts a text at the special tokens that are spelled in it, as llama.cpp does: the longest token first
// wherever it stands, then the next in what is left, so that a longer token wins over one that begins before it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/tokenizers/byte_trie.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

// Immutable; safe from any thread.
class TokenCutter {
 public:
  // Longer spellings are not looked for, so that a search costs at most this many steps a byte.
  static constexpr size_t kMaxLength = 512;

  struct Token {
    int32_t id;
    bool on_request = true;     // parsed only when special tokens are
    bool strips_left = false;   // takes the white space before it away
    bool strips_right = false;  // and after it
  };
  struct Part {
    size_t begin, length;       // bytes of the text
    std::optional<int32_t> id;  // none: text between tokens
  };

  // `tokens` by id.
  TokenCutter(std::shared_ptr<const Vocabulary> vocabulary, std::vector<Token> tokens);

  // In order, without what was stripped; none is empty.
  std::vector<Part> cut(std::string_view text, bool parse_special) const;

 private:
  struct Places {
    size_t first = 0, last = 0;  // where a token begins in the text for the first and the last time
    bool any = false;
  };
  std::vector<Places> find_places(std::string_view text) const;
  std::string_view text_of(const Token& token) const { return vocabulary_->text(token.id); }

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<Token> tokens_;  // in the order in which they cut
  ByteTrie trie_;              // spelling -> index in tokens_
};

}  // namespace orrery
