// Byte shuffle: records of N bytes, regrouped so that all first bytes come first, then all second ones, and so on.
// Exponents and signs of floats, and the high bytes of counts, then lie together and compress.
#pragma once

#include <cstddef>
#include <span>

namespace orrery {

// `to` has room for from.size() bytes; bytes beyond the last whole record follow as they are.
void shuffle_bytes(std::span<const std::byte> from, size_t record_bytes, std::byte* to);
void unshuffle_bytes(std::span<const std::byte> from, size_t record_bytes, std::byte* to);

}  // namespace orrery
