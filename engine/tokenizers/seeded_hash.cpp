#include "engine/tokenizers/seeded_hash.h"

#include <cstring>
#include <random>

namespace orrery {
namespace {

constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio

// Both halves of the 128-bit product.
uint64_t fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t seed() {
  static const uint64_t drawn = [] {
    std::random_device device;
    return uint64_t{device()} << 32 | device();
  }();
  return drawn;
}

}  // namespace

uint64_t seeded_hash(uint64_t number) { return fold(number ^ seed(), kOdd); }

uint64_t seeded_hash(std::string_view text) {
  uint64_t hash = seed() ^ text.size();
  while (text.size() >= sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), sizeof word);
    hash = fold(hash ^ word, kOdd);
    text.remove_prefix(sizeof word);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, text.data(), text.size());
  return fold(hash ^ rest, kOdd ^ seed());
}

}  // namespace orrery
