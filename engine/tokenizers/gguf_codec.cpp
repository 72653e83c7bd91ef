#include "engine/tokenizers/gguf_codec.h"

#include "engine/tokenizers/byte_alphabet.h"
#include "engine/tokenizers/byte_tokens.h"
#include "engine/tokenizers/escaped_spaces.h"
#include "engine/tokenizers/rwkv_encoder.h"

namespace orrery {

GgufCodec::GgufCodec(std::shared_ptr<const Vocabulary> vocabulary, std::unique_ptr<const FragmentEncoder> encoder,
                     TokenCutter cutter, TokenSpelling spelling, bool adds_space)
    : vocabulary_(std::move(vocabulary)),
      encoder_(std::move(encoder)),
      cutter_(std::move(cutter)),
      spelling_(spelling),
      adds_space_(adds_space) {}

Result<void> GgufCodec::encode(std::string_view text, bool parse_special, std::vector<int32_t>& ids) const {
  bool begins = true;
  for (const TokenCutter::Part& part : cutter_.cut(text, parse_special)) {
    if (part.id) {
      ids.push_back(*part.id);
    } else {
      ORRERY_RETURN_IF_ERROR(encoder_->encode(text.substr(part.begin, part.length), begins, ids));
    }
    begins = part.id.has_value();
  }
  return {};
}

std::string GgufCodec::token_bytes(int32_t id) const {
  const std::string_view text = vocabulary_->text(id);
  if (spelling_ == TokenSpelling::kRwkvEscapes) return unescape_rwkv(text);
  const TokenType type = vocabulary_->type(id);
  if (type == TokenType::kByte) {
    if (const auto byte = byte_of_token(text)) return std::string(1, static_cast<char>(*byte));
  }
  if (spelling_ == TokenSpelling::kPlain) return std::string(text);
  if (type == TokenType::kUnused || type == TokenType::kUndefined) return {};
  if (type != TokenType::kNormal) return std::string(text);
  return spelling_ == TokenSpelling::kByteAlphabet ? bytes_of_spelling(text) : unescape_spaces(text);
}

std::string GgufCodec::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) bytes += token_bytes(id);
  // Before a special token encoding adds none.
  const bool may_have_added = adds_space_ && !ids.empty() && vocabulary_->type(ids.front()) == TokenType::kNormal;
  if (may_have_added && token_bytes(ids.front()).starts_with(' ')) bytes.erase(0, 1);
  return bytes;
}

}  // namespace orrery
