// BpeEncoder: GPT-2's kind of tokenizer ("gpt2", "gemma4"): the text is cut into words, whose characters are merged
// pair by pair.
#pragma once

#include <memory>

#include "engine/tokenizers/bpe.h"
#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/pre_tokenizer.h"

namespace orrery {

class BpeEncoder final : public FragmentEncoder {
 public:
  BpeEncoder(std::unique_ptr<const PreTokenizer> pre_tokenizer, std::unique_ptr<const Bpe> bpe)
      : pre_tokenizer_(std::move(pre_tokenizer)), bpe_(std::move(bpe)) {}

  Result<void> encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const override;

 private:
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;
  std::unique_ptr<const Bpe> bpe_;
};

}  // namespace orrery
