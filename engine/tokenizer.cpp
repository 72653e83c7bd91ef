#include "engine/tokenizer.h"

#include <algorithm>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/bpe.h"
#include "engine/tokenizers/byte_alphabet.h"
#include "engine/tokenizers/pre_tokenizer.h"
#include "engine/tokenizers/special_tokens.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {
namespace {

constexpr size_t kMaxTextBytes = size_t{256} << 20;

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

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > kMaxTextBytes) {
    return Error{ErrorCode::kInvalidArgument,
                 "the text is longer than 256 MiB: " + std::to_string(text.size()) + " bytes"};
  }
  std::vector<int32_t> ids;
  if (text.empty()) return ids;
  if (options.add_special && add_bos_) ids.push_back(*bos_);
  const SpecialTokens& special = options.parse_special ? *special_ : *user_defined_;
  size_t done = 0;
  while (const auto match = special.find_next(text, done)) {
    ORRERY_RETURN_IF_ERROR(encode_plain(text.substr(done, match->begin - done), ids));
    ids.push_back(match->id);
    done = match->begin + match->length;
  }
  ORRERY_RETURN_IF_ERROR(encode_plain(text.substr(done), ids));
  if (options.add_special && add_eos_) ids.push_back(*eos_);
  return ids;
}

Result<void> Tokenizer::encode_plain(std::string_view text, std::vector<int32_t>& ids) const {
  std::string replaced;
  if (!is_valid_utf8(text)) {
    replaced = replace_invalid_bytes(text);
    text = replaced;
  }
  Bpe::Scratch scratch;
  return pre_tokenizer_->split(text, [&](std::string_view word) { bpe_->encode_word(word, scratch, ids); });
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids, bool keep_control) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (id < 0 || id >= n_vocab()) {
      return Error{ErrorCode::kInvalidArgument, "the vocabulary has the token ids 0 to " +
                                                    std::to_string(n_vocab() - 1) + ", but not " + std::to_string(id)};
    }
    if (keep_control || !is_control(id)) bytes += token_bytes(id);
  }
  return bytes;
}

std::string Tokenizer::token_bytes(int32_t id) const {
  const std::string_view text = token_text(id);
  switch (token_type(id)) {
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

std::string_view Tokenizer::token_text(int32_t id) const {
  return id < 0 || id >= n_vocab() ? std::string_view{} : tokens_[static_cast<size_t>(id)];
}

TokenType Tokenizer::token_type(int32_t id) const {
  return id < 0 || id >= n_vocab() ? TokenType::kUndefined : types_[static_cast<size_t>(id)];
}

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return std::binary_search(end_of_generation_.begin(), end_of_generation_.end(), id);
}

std::optional<int32_t> Tokenizer::find(std::string_view token_text) const { return bpe_->find(token_text); }

std::string StreamDecoder::push(int32_t id) {
  if (!keep_control_ && tokenizer_.is_control(id)) return {};
  return push_bytes(tokenizer_.token_bytes(id));
}

std::string StreamDecoder::push_bytes(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::string_view rest = pending_;
  while (!rest.empty() && !is_utf8_prefix(rest)) {
    const size_t length = utf8_char_length(rest);
    if (length > 0) {
      out += rest.substr(0, length);
      rest.remove_prefix(length);
      continue;
    }
    // One U+FFFD for the longest start of a character, or a single stray byte (Unicode's recommended practice).
    size_t bad = std::min<size_t>(rest.size(), 3);
    while (bad > 1 && !is_utf8_prefix(rest.substr(0, bad))) --bad;
    out += kReplacementCharacter;
    rest.remove_prefix(bad);
  }
  pending_ = std::string(rest);
  return out;
}

std::string StreamDecoder::finish() {
  const bool unfinished = !pending_.empty();
  pending_.clear();
  return unfinished ? std::string(kReplacementCharacter) : std::string();
}

}  // namespace orrery
