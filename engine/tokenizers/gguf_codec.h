// GgufCodec: the tokenizer of a GGUF file, which llama.cpp defines: special tokens spelled in the text cut it, and the
// algorithm named by tokenizer.ggml.model encodes what lies between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/special_tokens.h"
#include "engine/tokenizers/text_codec.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

class GgufCodec final : public TextCodec {
 public:
  // Control, unknown and user-defined tokens are parsed on request, user-defined ones always.
  GgufCodec(std::shared_ptr<const Vocabulary> vocabulary, std::unique_ptr<const FragmentEncoder> encoder);

  Result<void> encode(std::string_view text, bool parse_special, std::vector<int32_t>& ids) const override;
  std::string token_bytes(int32_t id) const override;
  std::string decode(std::span<const int32_t> ids) const override;

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::unique_ptr<const FragmentEncoder> encoder_;
  SpecialTokens special_, user_defined_;
};

}  // namespace orrery
