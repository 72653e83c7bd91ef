// HfWordLevel: a piece is a token or unknown. HfWordPiece: the longest token that a word begins with, then the longest
// that its rest begins with after a prefix, as in BERT; a word that cannot be cut so is unknown as a whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizers/hf_model.h"
#include "engine/tokenizers/hf_trie.h"

namespace orrery {

class HfWordLevel final : public HfModel {
 public:
  static Result<std::unique_ptr<const HfModel>> read(const HfObject& object);
  Result<void> encode(std::string_view piece, std::vector<int32_t>& ids) const override;

 private:
  HfWordLevel(HfIds ids) : HfModel("WordLevel", std::move(ids)) {}
  std::optional<int32_t> unknown_;
};

class HfWordPiece final : public HfModel {
 public:
  static constexpr size_t kMaxTokenBytes = 1024;  // longer tokens are refused: a cut costs that many steps

  static Result<std::unique_ptr<const HfModel>> read(const HfObject& object);
  Result<void> encode(std::string_view piece, std::vector<int32_t>& ids) const override;

 private:
  HfWordPiece(HfIds ids) : HfModel("WordPiece", std::move(ids)) {}
  std::optional<int32_t> unknown_;
  HfTrie trie_;
  uint32_t continued_ = 0;  // the trie's node of the prefix; 0 with has_continued_ false: no token has it
  bool has_continued_ = false;
  size_t max_characters_ = 100;
};

}  // namespace orrery
