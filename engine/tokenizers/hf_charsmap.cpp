#include "engine/tokenizers/hf_charsmap.h"

#include <utility>

#include "engine/tokenizers/hf_unicode.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {
namespace {

constexpr size_t kMaxClusterBytes = 5;

Error damaged(const std::string& why) { return {ErrorCode::kInvalidFile, "has a precompiled_charsmap that " + why}; }

int base64_digit(char c) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t at = kDigits.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t n_pad = 0;
  while (n_pad < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++n_pad;
  }
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    const int digit = base64_digit(c);
    if (digit < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffffff;
    n_bits += 6;
    if (n_bits >= 8) {
      n_bits -= 8;
      bytes += static_cast<char>(bits >> n_bits & 0xff);
    }
  }
  return bytes;
}

}  // namespace

Result<HfCharsmap> HfCharsmap::from_base64(std::string_view text) {
  const std::optional<std::string> bytes = decode_base64(text);
  if (!bytes) return damaged("is not base64");
  const std::string_view view = *bytes;
  const size_t n_trie = view.size() < 4 ? 0 : read_little_endian_u32(view, 0) / 4;
  if (view.size() < 4 || n_trie == 0 || n_trie > (view.size() - 4) / 4) return damaged("is cut off");
  HfCharsmap map;
  map.trie_ = DoubleArray(view.substr(4, 4 * n_trie));
  map.replacements_ = view.substr(4 + 4 * n_trie);
  if (!is_valid_utf8(map.replacements_)) return damaged("holds bytes that are not UTF-8");
  return map;
}

std::optional<std::string_view> HfCharsmap::find(std::string_view text) const {
  std::optional<std::string_view> shortest;
  trie_.for_each_prefix(text, 0, [&](size_t, size_t begin) {
    if (begin > replacements_.size()) return false;
    const std::string_view found = std::string_view(replacements_).substr(begin);
    const std::string_view replacement = found.substr(0, found.find('\0'));
    if (is_valid_utf8(replacement)) shortest = replacement;
    return false;
  });
  return shortest;
}

Result<std::string> HfCharsmap::apply(std::string_view text, size_t max_bytes) const {
  std::string out;
  out.reserve(text.size());
  ORRERY_RETURN_IF_ERROR(for_each_grapheme(text, [&](std::string_view cluster) {
    if (out.size() > max_bytes) return;
    if (cluster.size() <= kMaxClusterBytes) {
      if (const auto replacement = find(cluster)) {
        out += *replacement;
        return;
      }
    }
    for_each_character(cluster, [&](char32_t, std::string_view bytes) {
      if (out.size() <= max_bytes) out += find(bytes).value_or(bytes);
    });
  }));
  return out;
}

}  // namespace orrery
