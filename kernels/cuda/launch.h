// Launch: one call of a CUDA kernel as a value, so that a step is a list that can be compared, replayed and captured in
// a graph. Every kernel takes exactly one parameter: a struct of pointers and numbers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// The kernels and what launches them are compiled twice: by nvcc for devices and by the host's compiler against
// emulation.h. Each has a namespace of its own, so that one program can hold both.
#ifdef ORRERY_CUDA_EMULATED
#define ORRERY_CUDA_NAMESPACE cuda_emulated
#else
#define ORRERY_CUDA_NAMESPACE cuda
#endif

namespace orrery {

// Sizes of a grid in blocks, or of a block in threads.
struct Extent {
  uint32_t x = 1;
  uint32_t y = 1;
  uint32_t z = 1;
  uint64_t volume() const { return uint64_t{x} * y * z; }
  bool operator==(const Extent&) const = default;
};

struct Launch {
  static constexpr size_t kMaxArgumentBytes = 256;
  using Entry = void (*)();

  const char* name = "";  // for messages
  Entry kernel = nullptr;
  // Calls the kernel as one emulated thread; null for kernels of a device.
  void (*call)(Entry kernel, const std::byte* arguments) = nullptr;
  Extent grid;
  Extent block;
  uint32_t dynamic_shared_bytes = 0;
  uint32_t argument_bytes = 0;
  alignas(16) std::array<std::byte, kMaxArgumentBytes> arguments{};

  bool operator==(const Launch& other) const {
    return kernel == other.kernel && grid == other.grid && block == other.block &&
           dynamic_shared_bytes == other.dynamic_shared_bytes && argument_bytes == other.argument_bytes &&
           std::memcmp(arguments.data(), other.arguments.data(), argument_bytes) == 0;
  }
};

// Arguments are compared byte by byte: give them an order that leaves no padding, so that equal ones are found equal.
template <typename Arguments>
Launch make_launch(const char* name, void (*kernel)(Arguments), Extent grid, Extent block, const Arguments& arguments,
                   size_t dynamic_shared_bytes = 0) {
  static_assert(std::is_trivially_copyable_v<Arguments> && sizeof(Arguments) <= Launch::kMaxArgumentBytes);
  static_assert(alignof(Arguments) <= 16);
  Launch launch;
  launch.name = name;
  launch.kernel = reinterpret_cast<Launch::Entry>(kernel);
#ifdef ORRERY_CUDA_EMULATED
  launch.call = [](Launch::Entry entry, const std::byte* bytes) {
    reinterpret_cast<void (*)(Arguments)>(entry)(*reinterpret_cast<const Arguments*>(bytes));
  };
#endif
  launch.grid = grid;
  launch.block = block;
  launch.dynamic_shared_bytes = static_cast<uint32_t>(dynamic_shared_bytes);
  launch.argument_bytes = sizeof(Arguments);
  std::memcpy(launch.arguments.data(), &arguments, sizeof(Arguments));
  return launch;
}

// out = x weight^T in float32, for cuBLAS: x [n_rows, n_in], weight [n_out, n_in] contiguous, out [n_rows, n_out].
struct Gemm {
  const float* x = nullptr;
  const float* weight = nullptr;
  float* out = nullptr;
  int64_t x_stride = 0;
  int64_t out_stride = 0;
  int64_t n_rows = 0;
  int64_t n_out = 0;
  int64_t n_in = 0;
  bool operator==(const Gemm&) const = default;
};

// Blocks of `per_block` that cover n.
inline uint32_t blocks_for(int64_t n, int64_t per_block) {
  return static_cast<uint32_t>(std::max<int64_t>(1, (n + per_block - 1) / per_block));
}

// Threads of a block for n items: whole warps, as many as the items need and at most `most`.
inline uint32_t threads_for(int64_t n, uint32_t most) {
  return static_cast<uint32_t>(std::min<int64_t>(most, blocks_for(n, 32) * int64_t{32}));
}

}  // namespace orrery
