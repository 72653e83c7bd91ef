// ByteBpe: GPT-2's kind of tokenizer ("gpt2"). The text is cut into words, whose bytes, spelled in the byte alphabet,
// are merged pair by pair.
#pragma once

#include <memory>

#include "engine/tokenizers/bpe.h"
#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/pre_tokenizer.h"

namespace orrery {

class ByteBpe final : public FragmentEncoder {
 public:
  ByteBpe(std::unique_ptr<const PreTokenizer> pre_tokenizer, std::unique_ptr<const Bpe> bpe)
      : pre_tokenizer_(std::move(pre_tokenizer)), bpe_(std::move(bpe)) {}

  // Each byte that belongs to no UTF-8 character is taken for U+FFFD; bytes that the vocabulary lacks give no id.
  Result<void> encode(std::string_view fragment, std::vector<int32_t>& ids) const override;

 private:
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;
  std::unique_ptr<const Bpe> bpe_;
};

}  // namespace orrery
