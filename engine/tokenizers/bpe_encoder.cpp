#include "engine/tokenizers/bpe_encoder.h"

#include "engine/tokenizers/escaped_spaces.h"

namespace orrery {

Result<void> BpeEncoder::encode(std::string_view fragment, bool /*begins*/, std::vector<int32_t>& ids) const {
  const PreTokenizerFamily& family = pre_tokenizer_->family();
  std::string escaped;
  if (family.escapes_white_space) {
    escaped = escape_spaces(fragment);
    fragment = escaped;
  }
  const auto is_one_token = [&](std::string_view word) {
    return family.whole_words == PreTokenizerFamily::WholeWords::kAlways ||
           (family.whole_words == PreTokenizerFamily::WholeWords::kLineBreaks &&
            word.find_first_not_of('\n') == std::string_view::npos);
  };
  Bpe::Scratch scratch;
  return pre_tokenizer_->split(fragment, [&](std::string_view word) {
    const auto whole = is_one_token(word) ? bpe_->find_word(word) : std::nullopt;
    if (whole) {
      ids.push_back(*whole);
    } else {
      bpe_->encode_word(word, scratch, ids);
    }
  });
}

}  // namespace orrery
