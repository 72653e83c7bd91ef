#include "engine/tokenizers/byte_bpe.h"

#include "engine/tokenizers/utf8.h"

namespace orrery {

Result<void> ByteBpe::encode(std::string_view fragment, std::vector<int32_t>& ids) const {
  std::string replaced;
  if (!is_valid_utf8(fragment)) {
    replaced = replace_invalid_bytes(fragment);
    fragment = replaced;
  }
  Bpe::Scratch scratch;
  return pre_tokenizer_->split(fragment, [&](std::string_view word) { bpe_->encode_word(word, scratch, ids); });
}

}  // namespace orrery
