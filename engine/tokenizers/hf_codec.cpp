#include "engine/tokenizers/hf_codec.h"

#include <utility>

#include "engine/tokenizers/hf_clean_up.h"
#include "engine/tokenizers/hf_unicode.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {

HfCodec::HfCodec(std::shared_ptr<const Vocabulary> vocabulary, Parts parts)
    : vocabulary_(std::move(vocabulary)), parts_(std::move(parts)) {}

Result<void> HfCodec::encode(std::string_view text, bool parse_special, std::vector<int32_t>& ids) const {
  std::string replaced;
  if (!is_valid_utf8(text)) {
    replaced = replace_invalid_bytes(text);
    text = replaced;
  }
  HfSearchBudget budget(text.size());
  Result<void> result;
  parts_.added.split(text, /*normalized=*/false, parse_special, [&](const HfSection& section) {
    if (!result) return;
    if (section.id) {
      ids.push_back(*section.id);
      return;
    }
    HfPiece piece{std::string(text.substr(section.begin, section.end - section.begin)), 0};
    if (section.begin == 0) {
      size_t first_end = 0;
      next_character(piece.text, first_end);
      piece.n_origin_bytes = first_end;
    }
    result = encode_section(std::move(piece), parse_special, budget, ids);
  });
  return result;
}

// What lies between tokens that are looked for as they are.
Result<void> HfCodec::encode_section(HfPiece piece, bool parse_special, HfSearchBudget& budget,
                                     std::vector<int32_t>& ids) const {
  if (parts_.normalizer != nullptr) ORRERY_RETURN_IF_ERROR(parts_.normalizer->normalize(piece, budget));
  Result<void> result;
  parts_.added.split(piece.text, /*normalized=*/true, parse_special, [&](const HfSection& section) {
    if (!result) return;
    if (section.id) {
      ids.push_back(*section.id);
    } else {
      result = encode_piece(piece.part(section.begin, section.end), budget, ids);
    }
  });
  return result;
}

Result<void> HfCodec::encode_piece(HfPiece piece, HfSearchBudget& budget, std::vector<int32_t>& ids) const {
  if (parts_.pre_tokenizer == nullptr) return parts_.model->encode(piece.text, ids);
  return parts_.pre_tokenizer->split(std::move(piece), budget,
                                     [&](const HfPiece& part) { return parts_.model->encode(part.text, ids); });
}

std::string HfCodec::token_bytes(int32_t id) const {
  std::string token(vocabulary_->text(id));
  if (vocabulary_->type(id) == TokenType::kUnused) return token;
  bool is_joined = false;
  parts_.decoder->decode_inner(token, is_joined);
  return token;
}

std::string HfCodec::decode(std::span<const int32_t> ids) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    if (vocabulary_->type(id) != TokenType::kUnused) tokens.emplace_back(vocabulary_->text(id));
  }
  parts_.decoder->decode(tokens);
  std::string text;
  for (const std::string& token : tokens) text += token;
  return parts_.cleans_up ? hf_clean_up(std::move(text), HfCleanUp::kWholeText) : text;
}

}  // namespace orrery
