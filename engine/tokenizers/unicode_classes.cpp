#include "engine/tokenizers/unicode_classes.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <unordered_map>
#include <vector>

namespace orrery {
namespace {

#include "engine/tokenizers/unicode_ranges.inc"

constexpr uint32_t kClassBits = 3;

std::vector<UnicodeClass> spread_classes() {
  std::vector<UnicodeClass> classes(kMaxCodePoint + 1);
  for (size_t i = 0; i < std::size(kCategoryRanges); ++i) {
    const size_t begin = kCategoryRanges[i] >> kClassBits;
    const size_t end = i + 1 < std::size(kCategoryRanges) ? kCategoryRanges[i + 1] >> kClassBits : classes.size();
    const auto kind = static_cast<UnicodeClass>(kCategoryRanges[i] & ((1u << kClassBits) - 1));
    std::fill(classes.begin() + static_cast<ptrdiff_t>(begin), classes.begin() + static_cast<ptrdiff_t>(end), kind);
  }
  return classes;
}

std::unordered_map<uint32_t, uint32_t> as_map(std::span<const uint32_t> pairs) {
  std::unordered_map<uint32_t, uint32_t> map(pairs.size());
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) map.emplace(pairs[i], pairs[i + 1]);
  return map;
}

uint32_t image(const std::unordered_map<uint32_t, uint32_t>& map, uint32_t code_point) {
  const auto found = map.find(code_point);
  return found == map.end() ? code_point : found->second;
}

}  // namespace

UnicodeClass unicode_class(uint32_t code_point) {
  static const std::vector<UnicodeClass> classes = spread_classes();
  return code_point <= kMaxCodePoint ? classes[code_point] : UnicodeClass::kUnassigned;
}

bool is_white_space(uint32_t code_point) {
  return (code_point >= 0x9 && code_point <= 0xd) || code_point == 0x20 || code_point == 0x85 || code_point == 0xa0 ||
         code_point == 0x1680 || (code_point >= 0x2000 && code_point <= 0x200a) || code_point == 0x2028 ||
         code_point == 0x2029 || code_point == 0x202f || code_point == 0x205f || code_point == 0x3000;
}

bool is_han(uint32_t code_point) {
  // The unified ideographs with extensions A to F, and the compatibility ideographs.
  static constexpr std::array<std::array<uint32_t, 2>, 9> kBlocks = {{{0x4e00, 0x9fff},
                                                                      {0x3400, 0x4dbf},
                                                                      {0x20000, 0x2a6df},
                                                                      {0x2a700, 0x2b73f},
                                                                      {0x2b740, 0x2b81f},
                                                                      {0x2b820, 0x2ceaf},
                                                                      {0x2ceb0, 0x2ebef},
                                                                      {0xf900, 0xfaff},
                                                                      {0x2f800, 0x2fa1f}}};
  return std::any_of(kBlocks.begin(), kBlocks.end(),
                     [&](const auto& block) { return code_point >= block[0] && code_point <= block[1]; });
}

uint32_t lower_case(uint32_t code_point) {
  static const auto map = as_map(kLowerCase);
  return image(map, code_point);
}

uint32_t base_letter(uint32_t code_point) {
  constexpr uint32_t kFirstSyllable = 0xac00, kLastSyllable = 0xd7a3, kFirstLead = 0x1100, kSyllablesPerLead = 588;
  if (code_point >= kFirstSyllable && code_point <= kLastSyllable) {
    return kFirstLead + (code_point - kFirstSyllable) / kSyllablesPerLead;
  }
  static const auto map = as_map(kBaseLetters);
  return image(map, code_point);
}

}  // namespace orrery
