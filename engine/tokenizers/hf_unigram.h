// HfUnigram: the unigram language model of SentencePiece (Kudo 2018): of all ways to cut a piece into tokens the one
// with the greatest sum of scores.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/tokenizers/hf_model.h"
#include "engine/tokenizers/hf_trie.h"

namespace orrery {

class HfUnigram final : public HfModel {
 public:
  // Longer tokens are refused: the search costs that many steps a byte.
  static constexpr size_t kMaxTokenBytes = 1024;

  static Result<std::unique_ptr<const HfModel>> read(const HfObject& object);

  Result<void> encode(std::string_view piece, std::vector<int32_t>& ids) const override;

 private:
  // The best way to reach a place in the piece.
  struct Best {
    double score = 0;
    int32_t id = 0;
    int32_t begin = -1;  // of its last token; -1: not reached yet
  };

  HfUnigram(HfIds ids) : HfModel("Unigram", std::move(ids)) {}
  Result<std::vector<Best>> best_paths(std::string_view piece) const;
  void append_unknown(std::string_view text, std::vector<int32_t>& ids) const;

  std::vector<double> scores_;  // [n_tokens]
  HfTrie trie_;
  std::optional<int32_t> unknown_;
  double unknown_score_ = 0;
  std::optional<std::vector<int32_t>> byte_ids_;  // [256], -1 where the vocabulary lacks one
};

}  // namespace orrery
