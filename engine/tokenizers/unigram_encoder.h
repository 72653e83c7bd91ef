// UnigramEncoder: SentencePiece's unigram model as llama.cpp does it ("t5"): the text is normalized, then cut into the
// tokens with the highest sum of scores (Kudo 2018; Viterbi).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/tokenizers/byte_trie.h"
#include "engine/tokenizers/charsmap.h"
#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

class UnigramEncoder final : public FragmentEncoder {
 public:
  struct Options {
    bool adds_space = false;            // before the first word of a fragment
    bool removes_extra_spaces = false;  // one space before each word, however many there were
    std::optional<int32_t> unknown;     // for characters that no token covers; those in a row become one
  };

  // scores: [n_vocab]; user-defined tokens count 0.
  UnigramEncoder(const std::shared_ptr<const Vocabulary>& vocabulary, std::vector<float> scores, Charsmap charsmap,
                 Options options);

  Result<void> encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const override;

 private:
  static constexpr int32_t kUnknown = -1;

  std::string normalize(std::string_view text) const;
  std::string_view normalize_prefix(std::string_view text, size_t& offset) const;

  std::vector<double> scores_;  // [n_vocab]
  double unknown_score_ = 0;
  Charsmap charsmap_;
  Options options_;
  ByteTrie tokens_, user_defined_;
};

}  // namespace orrery
