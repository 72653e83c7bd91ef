#include "engine/tokenizer.h"

#include <algorithm>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {
namespace {

constexpr size_t kMaxTextBytes = size_t{256} << 20;

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::from_parts(TokenizerParts parts) {
  CHECK(parts.vocabulary != nullptr && parts.codec != nullptr);
  std::vector<int32_t>& ends = parts.end_of_generation;
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(parts)));
}

bool Tokenizer::adds(const std::vector<int32_t>& ids, std::optional<int32_t> id) {
  return id.has_value() && std::find(ids.begin(), ids.end(), *id) != ids.end();
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > kMaxTextBytes) {
    return Error{ErrorCode::kInvalidArgument,
                 "the text is longer than 256 MiB: " + std::to_string(text.size()) + " bytes"};
  }
  std::vector<int32_t> ids;
  if (text.empty()) return ids;
  if (options.add_special) ids = parts_.prefix_ids;
  ORRERY_RETURN_IF_ERROR(parts_.codec->encode(text, options.parse_special, ids));
  if (options.add_special) ids.insert(ids.end(), parts_.suffix_ids.begin(), parts_.suffix_ids.end());
  return ids;
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids, bool keep_control) const {
  std::vector<int32_t> kept;
  kept.reserve(ids.size());
  for (const int32_t id : ids) {
    if (!parts_.vocabulary->contains(id)) {
      return Error{ErrorCode::kInvalidArgument, "the vocabulary has the token ids 0 to " +
                                                    std::to_string(n_vocab() - 1) + ", but not " + std::to_string(id)};
    }
    if (keep_control || !is_control(id)) kept.push_back(id);
  }
  return parts_.codec->decode(kept);
}

std::string Tokenizer::token_bytes(int32_t id) const {
  return parts_.vocabulary->contains(id) ? parts_.codec->token_bytes(id) : std::string();
}

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return std::binary_search(parts_.end_of_generation.begin(), parts_.end_of_generation.end(), id);
}

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
    out += kReplacementCharacter;
    rest.remove_prefix(broken_length(rest));
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
