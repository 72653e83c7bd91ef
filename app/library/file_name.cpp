#include "app/library/file_name.h"

#include <algorithm>
#include <cstdio>

namespace orrery {
namespace {

constexpr size_t kLongestName = 200;  // what this program adds must fit into the usual 255 bytes, too
constexpr size_t kDigits = 5;
constexpr std::string_view kBetween = "-of-";

// Five digits at `at`; -1 where there are none.
int number_at(std::string_view text, size_t at) {
  if (at + kDigits > text.size()) return -1;
  int value = 0;
  for (const char c : text.substr(at, kDigits)) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

bool is_plain_file_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName || name.ends_with(".part")) return false;
  if (std::string_view(".-~ ").find(name.front()) != std::string_view::npos) return false;
  if (name.back() == '.' || name.back() == ' ') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return c >= 0x20 && c < 0x7f && std::string_view("/\\:*?\"<>|").find(c) == std::string_view::npos;
  });
}

std::string ShardName::text() const {
  char numbers[32];
  std::snprintf(numbers, sizeof(numbers), "-%05d-of-%05d", index, count);
  return stem + numbers + extension;
}

ShardName ShardName::at(int other_index) const {
  ShardName other = *this;
  other.index = other_index;
  return other;
}

std::optional<ShardName> parse_shard_name(std::string_view name) {
  const size_t dot = name.rfind('.');
  constexpr size_t kNumbers = 1 + kDigits + kBetween.size() + kDigits;
  if (dot == std::string_view::npos || dot <= kNumbers) return std::nullopt;
  const size_t begin = dot - kNumbers;
  if (name[begin] != '-' || name.substr(begin + 1 + kDigits, kBetween.size()) != kBetween) return std::nullopt;
  const int index = number_at(name, begin + 1);
  const int count = number_at(name, dot - kDigits);
  if (index < 1 || count < 1 || index > count) return std::nullopt;
  return ShardName{std::string(name.substr(0, begin)), index, count, std::string(name.substr(dot))};
}

}  // namespace orrery
