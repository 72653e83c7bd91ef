// HfCodec: the tokenizer that a tokenizer.json describes, in the steps of the Hugging Face tokenizers: added tokens cut
// the text, a normalizer rewrites what lies between, added tokens that are looked for in normalized text cut it again,
// a pre-tokenizer cuts it into pieces, a model turns each into ids; a decoder leads back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizers/hf_added_tokens.h"
#include "engine/tokenizers/hf_decoder.h"
#include "engine/tokenizers/hf_model.h"
#include "engine/tokenizers/hf_normalizer.h"
#include "engine/tokenizers/hf_pre_tokenizer.h"
#include "engine/tokenizers/text_codec.h"
#include "engine/tokenizers/vocabulary.h"
#include "kernels/base/result.h"

namespace orrery {

class HfCodec final : public TextCodec {
 public:
  struct Parts {
    std::unique_ptr<const HfModel> model;
    std::unique_ptr<const HfNormalizer> normalizer;       // null: none
    std::unique_ptr<const HfPreTokenizer> pre_tokenizer;  // null: none
    std::unique_ptr<const HfDecoder> decoder;
    HfAddedTokens added;
    bool cleans_up = false;  // English text is tidied after decoding
  };

  HfCodec(std::shared_ptr<const Vocabulary> vocabulary, Parts parts);

  // Each byte that belongs to no character is taken for U+FFFD. kUnsupported where a pattern of the file takes too long
  // on the text, or the model has neither a token nor an unknown one for it.
  Result<void> encode(std::string_view text, bool parse_special, std::vector<int32_t>& ids) const override;
  std::string token_bytes(int32_t id) const override;
  // As the reference decodes: valid UTF-8, with U+FFFD for what is none.
  std::string decode(std::span<const int32_t> ids) const override;

 private:
  Result<void> encode_section(HfPiece piece, bool parse_special, HfSearchBudget& budget,
                              std::vector<int32_t>& ids) const;
  Result<void> encode_piece(HfPiece piece, HfSearchBudget& budget, std::vector<int32_t>& ids) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  Parts parts_;
};

}  // namespace orrery
