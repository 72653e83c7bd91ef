// GgufCodec: the tokenizer of a GGUF file, which llama.cpp defines: special tokens spelled in the text cut it, and the
// algorithm named by tokenizer.ggml.model encodes what lies between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/text_codec.h"
#include "engine/tokenizers/token_cutter.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

// How a vocabulary spells bytes in tokens that are not special.
enum class TokenSpelling : uint8_t {
  kByteAlphabet,   // GPT-2's
  kEscapedSpaces,  // SentencePiece's: "▁" for a space, byte tokens
  kPlain,          // as they are, byte tokens
  kRwkvEscapes     // "\n", "\xff"
};

class GgufCodec final : public TextCodec {
 public:
  // adds_space: encoding puts a space before the text, which decoding takes out.
  GgufCodec(std::shared_ptr<const Vocabulary> vocabulary, std::unique_ptr<const FragmentEncoder> encoder,
            TokenCutter cutter, TokenSpelling spelling, bool adds_space);

  Result<void> encode(std::string_view text, bool parse_special, std::vector<int32_t>& ids) const override;
  std::string token_bytes(int32_t id) const override;
  std::string decode(std::span<const int32_t> ids) const override;

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::unique_ptr<const FragmentEncoder> encoder_;
  TokenCutter cutter_;
  TokenSpelling spelling_;
  bool adds_space_;
};

}  // namespace orrery
