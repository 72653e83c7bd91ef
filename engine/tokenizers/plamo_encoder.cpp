#include "engine/tokenizers/plamo_encoder.h"

#include <algorithm>
#include <cmath>

#include "engine/tokenizers/byte_tokens.h"
#include "engine/tokenizers/code_points.h"

namespace orrery {
namespace {

constexpr int32_t kInvalidScore = -20'000'000;
constexpr int64_t kUnknownCost = 10'000'000;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

int32_t rounded(float score) {
  if (!std::isfinite(score)) return kInvalidScore;
  const double scaled = std::round(static_cast<double>(score) * 1e4);
  return static_cast<int32_t>(std::clamp(scaled, double{kInvalidScore}, 2e9));
}

ByteTrie trie_of(const Vocabulary& vocabulary) {
  std::vector<ByteTrie::Entry> entries;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.type(id) != TokenType::kByte) entries.push_back({vocabulary.text(id), id});
  }
  return ByteTrie(std::move(entries));
}

}  // namespace

Result<std::unique_ptr<const PlamoEncoder>> PlamoEncoder::make(const std::shared_ptr<const Vocabulary>& vocabulary,
                                                               std::span<const float> scores) {
  std::unique_ptr<PlamoEncoder> encoder(new PlamoEncoder(*vocabulary, scores));
  encoder->bytes_.fill(-1);
  for (int32_t id = 0; id < vocabulary->size(); ++id) {
    if (vocabulary->type(id) != TokenType::kByte) continue;
    if (const auto byte = byte_of_token(vocabulary->text(id))) encoder->bytes_[*byte] = id;
  }
  for (size_t byte = 0; byte < encoder->bytes_.size(); ++byte) {
    if (encoder->bytes_[byte] >= 0) continue;
    return Error{ErrorCode::kInvalidFile,
                 "the vocabulary lacks the byte token " + byte_token(static_cast<uint8_t>(byte))};
  }
  return std::unique_ptr<const PlamoEncoder>(std::move(encoder));
}

PlamoEncoder::PlamoEncoder(const Vocabulary& vocabulary, std::span<const float> scores)
    : tokens_(trie_of(vocabulary)), scores_(scores.size()) {
  std::transform(scores.begin(), scores.end(), scores_.begin(), rounded);
}

Result<void> PlamoEncoder::encode(std::string_view fragment, bool /*begins*/, std::vector<int32_t>& ids) const {
  std::string text;
  for (const uint32_t point : code_points(fragment)) append_utf8(point, text);
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());

  // From the end to the beginning: the cheapest way from each character to the end. Of equals the longest token stays.
  struct Step {
    int64_t cost = 0;
    uint32_t bytes = 0;  // of the token or character that the way begins with
    int32_t id = -1;
  };
  std::vector<Step> steps(text.size() + 1);
  for (size_t begin = text.size(); begin-- > 0;) {
    if ((text[begin] & 0xc0) == 0x80) continue;
    const size_t character = std::min(length_by_lead(text[begin]), text.size() - begin);
    Step best = {steps[begin + character].cost + kUnknownCost, static_cast<uint32_t>(character), -1};
    uint32_t node = tokens_.child(ByteTrie::kRoot, text[begin]);
    for (size_t end = begin + 1; node != ByteTrie::kRoot; ++end) {
      const bool at_character = end == text.size() || (text[end] & 0xc0) != 0x80;
      const auto id = at_character ? tokens_.value(node) : std::nullopt;
      const int32_t score = id ? scores_[static_cast<size_t>(*id)] : kInvalidScore;
      const int64_t cost = steps[end].cost - score;
      if (score > kInvalidScore && cost <= best.cost) best = {cost, static_cast<uint32_t>(end - begin), *id};
      if (end == text.size()) break;
      node = tokens_.child(node, text[end]);
    }
    steps[begin] = best;
  }
  for (size_t at = 0; at < text.size(); at += steps[at].bytes) {
    if (steps[at].id >= 0) {
      ids.push_back(steps[at].id);
      continue;
    }
    for (const char byte : text.substr(at, steps[at].bytes)) ids.push_back(bytes_[static_cast<uint8_t>(byte)]);
  }
  return {};
}

}  // namespace orrery
