// PlamoEncoder: PLaMo 2's tokenizer ("plamo2"): the cut of the text into tokens with the highest sum of scores, a
// character that is in none counting -1000 and falling apart into byte tokens.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "engine/tokenizers/byte_trie.h"
#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

class PlamoEncoder final : public FragmentEncoder {
 public:
  // scores: [n_vocab]. kInvalidFile where a byte token is missing.
  static Result<std::unique_ptr<const PlamoEncoder>> make(const std::shared_ptr<const Vocabulary>& vocabulary,
                                                          std::span<const float> scores);

  // A byte order mark at the beginning is left out.
  Result<void> encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const override;

 private:
  PlamoEncoder(const Vocabulary& vocabulary, std::span<const float> scores);

  ByteTrie tokens_;                 // -> id; byte tokens are not in it
  std::vector<int32_t> scores_;     // [n_vocab] in 1/10000; kInvalidScore for a token that is never chosen
  std::array<int32_t, 256> bytes_;  // ids of byte tokens
};

}  // namespace orrery
