// SpmEncoder: SentencePiece's BPE as llama.cpp does it ("llama"): characters are joined pair by pair into the token of
// the highest score; what is no token in the end falls apart into byte tokens.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

class SpmEncoder final : public FragmentEncoder {
 public:
  // scores: [n_vocab]; a NaN is the lowest. adds_space: before a fragment that begins the text or follows a special
  // token.
  SpmEncoder(std::shared_ptr<const Vocabulary> vocabulary, std::vector<float> scores, bool adds_space,
             std::optional<int32_t> unknown);

  // No special treatment of invalid UTF-8: its bytes are looked up, and fall apart, as they are.
  Result<void> encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const override;

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<float> scores_;
  size_t max_token_bytes_ = 0;
  bool adds_space_;
  std::array<std::optional<int32_t>, 256> byte_ids_;
};

}  // namespace orrery
