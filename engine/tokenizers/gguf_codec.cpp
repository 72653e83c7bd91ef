#include "engine/tokenizers/gguf_codec.h"

#include <optional>

#include "engine/tokenizers/byte_alphabet.h"

namespace orrery {
namespace {

// The byte that a byte token ("<0x0A>") stands for.
std::optional<char> byte_of_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  int value = 0;
  for (const char digit : text.substr(3, 2)) {
    const std::string_view digits = "0123456789abcdef";
    const size_t place = digits.find(static_cast<char>(digit >= 'A' && digit <= 'F' ? digit + 32 : digit));
    if (place == std::string_view::npos) return std::nullopt;
    value = value * 16 + static_cast<int>(place);
  }
  return static_cast<char>(value);
}

}  // namespace

GgufCodec::GgufCodec(std::shared_ptr<const Vocabulary> vocabulary, std::unique_ptr<const FragmentEncoder> encoder)
    : vocabulary_(std::move(vocabulary)), encoder_(std::move(encoder)) {
  for (int32_t id = 0; id < vocabulary_->size(); ++id) {
    const TokenType type = vocabulary_->type(id);
    if (type == TokenType::kUserDefined) user_defined_.add(vocabulary_->text(id), id);
    if (type == TokenType::kUserDefined || type == TokenType::kControl || type == TokenType::kUnknown) {
      special_.add(vocabulary_->text(id), id);
    }
  }
}

Result<void> GgufCodec::encode(std::string_view text, bool parse_special, std::vector<int32_t>& ids) const {
  const SpecialTokens& special = parse_special ? special_ : user_defined_;
  size_t done = 0;
  while (const auto match = special.find_next(text, done)) {
    ORRERY_RETURN_IF_ERROR(encoder_->encode(text.substr(done, match->begin - done), ids));
    ids.push_back(match->id);
    done = match->begin + match->length;
  }
  return encoder_->encode(text.substr(done), ids);
}

std::string GgufCodec::token_bytes(int32_t id) const {
  const std::string_view text = vocabulary_->text(id);
  switch (vocabulary_->type(id)) {
    case TokenType::kControl:
    case TokenType::kUserDefined:
    case TokenType::kUnknown:
      return std::string(text);
    case TokenType::kByte:
      if (const auto byte = byte_of_token(text)) return std::string(1, *byte);
      return std::string(text);
    default:
      return bytes_of_spelling(text);
  }
}

std::string GgufCodec::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) bytes += token_bytes(id);
  return bytes;
}

}  // namespace orrery
