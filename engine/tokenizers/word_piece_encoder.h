// WordPieceEncoder: BERT's tokenizer ("bert") as llama.cpp does it: words and punctuation apart, of each word the
// longest token from its beginning on, and one unknown token for a word that cannot be covered.
#pragma once

#include <string>
#include <vector>

#include "engine/tokenizers/byte_trie.h"
#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

class WordPieceEncoder final : public FragmentEncoder {
 public:
  struct Options {
    int32_t unknown = 0;
    bool lower_case = true;
    bool strips_accents = true;
  };
  // Tokens that begin a word are spelled with "▁" before them.
  WordPieceEncoder(const Vocabulary& vocabulary, Options options);

  Result<void> encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const override;

 private:
  std::vector<std::string> words_of(std::string_view text) const;
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;

  Options options_;
  ByteTrie tokens_;
};

}  // namespace orrery
