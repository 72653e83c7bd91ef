// The bytes of `checkpoint.states` and `checkpoint.keys`: what a cache held, packed without loss, with a checksum.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

inline constexpr std::string_view kCheckpointCodec = "shuffle4+zstd";
// A checkpoint holds at most this many bytes of states, and of keys, before packing.
inline constexpr size_t kMaxCheckpointBytes = size_t{320} << 20;

std::vector<std::byte> pack_checkpoint(std::span<const std::byte> bytes);
// kInvalidFile where it is damaged, or anything but n_bytes long.
Result<std::vector<std::byte>> unpack_checkpoint(std::span<const std::byte> packed, size_t n_bytes);

}  // namespace orrery
