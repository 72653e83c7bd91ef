#include "sessions/fixed_point.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace orrery {
namespace {

constexpr float kScale = float{1 << kFixedPointBits};
constexpr uint32_t kNanWord = 0x80000000u;
constexpr uint32_t kNanBits = std::bit_cast<uint32_t>(std::numeric_limits<float>::quiet_NaN());
constexpr float kLargest = 1024;  // below it a multiple of 2^-20 fits into an i32

float value_of(uint32_t word) {
  return word == kNanWord ? std::bit_cast<float>(kNanBits) : static_cast<float>(static_cast<int32_t>(word)) / kScale;
}

uint32_t word_of(float value) {
  const bool fits = std::abs(value) < kLargest;
  return fits ? static_cast<uint32_t>(static_cast<int32_t>(value * kScale)) : kNanWord;
}

// The word of an id, which a float holds exactly; value is compared with what comes back.
int32_t id_of(float value) { return std::abs(value) < 1e9f ? static_cast<int32_t>(value) : 0; }

float f32_at(const std::byte* at) {
  float value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint32_t u32_at(const std::byte* at) {
  uint32_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

template <typename T>
void put(T value, std::byte* to) {
  std::memcpy(to, &value, sizeof value);
}

bool same_bits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

}  // namespace

std::string_view words_name(Words words) {
  switch (words) {
    case Words::kFixed:
      return "fixed20+";
    case Words::kRanked:
      return "ranked20+";
    case Words::kPlain:
      break;
  }
  return "";
}

bool to_fixed(std::span<const std::byte> values, std::byte* to) {
  bool exact = true;
  for (size_t at = 0; at < values.size(); at += sizeof(float)) {
    const float value = f32_at(values.data() + at);
    const uint32_t word = word_of(value);
    exact &= same_bits(value_of(word), value);
    put(word, to + at);
  }
  return exact;
}

void from_fixed(std::span<std::byte> words) {
  for (size_t at = 0; at < words.size(); at += sizeof(float))
    put(value_of(u32_at(words.data() + at)), words.data() + at);
}

bool to_ranked(std::span<const std::byte> values, const RankedLists& lists, std::byte* to) {
  bool exact = true;
  const size_t list_bytes = lists.list_pairs * 2 * sizeof(float);
  size_t list = 0;
  for (size_t begin = 0; begin < values.size(); begin += list_bytes, ++list) {
    const auto step = static_cast<uint32_t>(lists.step_begin + static_cast<int64_t>(list / lists.lists_per_step));
    uint32_t before = 0;
    for (size_t at = begin; at < begin + list_bytes; at += 2 * sizeof(float)) {
      const float id_value = f32_at(values.data() + at);
      const float weight = f32_at(values.data() + at + sizeof(float));
      const int32_t id = id_of(id_value);
      const uint32_t word = word_of(weight);
      exact &= same_bits(static_cast<float>(id), id_value) && same_bits(value_of(word), weight);
      put(step - static_cast<uint32_t>(id), to + at);
      put(before - word, to + at + sizeof(float));
      before = word;
    }
  }
  return exact;
}

void from_ranked(std::span<std::byte> words, const RankedLists& lists) {
  const size_t list_bytes = lists.list_pairs * 2 * sizeof(float);
  size_t list = 0;
  for (size_t begin = 0; begin < words.size(); begin += list_bytes, ++list) {
    const auto step = static_cast<uint32_t>(lists.step_begin + static_cast<int64_t>(list / lists.lists_per_step));
    uint32_t before = 0;
    for (size_t at = begin; at < begin + list_bytes; at += 2 * sizeof(float)) {
      std::byte* const pair = words.data() + at;
      before -= u32_at(pair + sizeof(float));
      put(static_cast<float>(static_cast<int32_t>(step - u32_at(pair))), pair);
      put(value_of(before), pair + sizeof(float));
    }
  }
}

}  // namespace orrery
