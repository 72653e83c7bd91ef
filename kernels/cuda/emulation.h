// The part of CUDA C++ that Orrery's kernels use, on the host: a block's threads are fibers of one thread, which take
// turns where they meet (barriers, shuffles, votes). Blocks run one after another. Found and reported as the launch's
// error, beside wrong results: a barrier or shuffle that not all threads reach, reads of shared memory that was not
// written, and shared memory that two threads use with no barrier between. Global memory is the host's, so that
// AddressSanitizer watches it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/base/dtype.h"
#include "kernels/base/result.h"
#include "kernels/cuda/launch.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// The key tells arrays of a kernel apart; a template has one for each of its instances.
#define ORRERY_SHARED(T, name, n)   \
  static const char name##_key = 0; \
  const ::orrery::cuda_emulated::Shared<T> name(&name##_key, #name, n)
#define ORRERY_DYNAMIC_SHARED(T, name) const ::orrery::cuda_emulated::Shared<T> name(nullptr, #name, 0)

namespace orrery::cuda_emulated {

// Runs all blocks of a launch on the calling thread. kMismatch describes the first mistake of the kernel.
Result<void> run(const Launch& launch);

// The indices of the thread that runs, as CUDA names them.
struct Index {
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t z = 0;
};
// NOLINTBEGIN(readability-identifier-naming): CUDA's names, here and below
inline thread_local Index threadIdx;
inline thread_local Index blockIdx;
inline thread_local Index blockDim;
inline thread_local Index gridDim;

using std::isfinite;
using std::isnan;

// One array of the running block's shared memory.
class SharedMemory {
 public:
  // Finds the block's array of this key, or makes it. A null key: the dynamic one, of the launch's size.
  SharedMemory(const void* key, const char* name, size_t element_bytes, size_t n);
  std::byte* read(size_t i) const;  // after the checks
  std::byte* write(size_t i) const;
  size_t size() const;

 private:
  struct Array* array_;
  friend struct Block;
};

template <typename T>
class Shared {
 public:
  static_assert(std::is_trivially_copyable_v<T>);
  Shared(const void* key, const char* name, size_t n) : memory_(key, name, sizeof(T), n) {}

  class Element {
   public:
    Element(SharedMemory memory, size_t i) : memory_(memory), i_(i) {}
    Element(const Element&) = default;
    operator T() const {  // NOLINT: an element is its value
      T value;
      std::memcpy(&value, memory_.read(i_), sizeof(T));
      return value;
    }
    const Element& operator=(T value) const {  // NOLINT: assigns to what it stands for
      std::memcpy(memory_.write(i_), &value, sizeof(T));
      return *this;
    }
    const Element& operator=(const Element& other) const {  // NOLINT: the same
      return *this = static_cast<T>(other);
    }
    const Element& operator+=(T value) const { return *this = static_cast<T>(*this) + value; }
    const Element& operator-=(T value) const { return *this = static_cast<T>(*this) - value; }
    const Element& operator*=(T value) const { return *this = static_cast<T>(*this) * value; }

   private:
    SharedMemory memory_;
    size_t i_;
  };

  Element operator[](size_t i) const { return {memory_, i}; }

 private:
  SharedMemory memory_;
};

// A place of a kernel's source.
struct Place {
  const char* file = "";
  int line = 0;
  bool operator==(const Place& other) const = default;
};

// All threads of the block; the place is part of the barrier: all must wait at the same one.
void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE());
// The threads of the warp that `mask` names, which all must call it.
void __syncwarp(uint32_t mask = 0xffffffffu, const char* file = __builtin_FILE(), int line = __builtin_LINE());

// A warp's exchange: every lane of the mask gives 8 bytes and gets those of the lane that it names (its own where that
// lane is not in the mask). Returns the bits; `ballot` gets the lanes that gave anything but 0.
uint64_t exchange(uint32_t mask, uint64_t bits, uint32_t source_lane, Place where, uint32_t* ballot);
uint32_t lane();

template <typename T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T shuffle(uint32_t mask, T value, uint32_t source, Place where) {
  const uint64_t bits = exchange(mask, to_bits(value), source, where, nullptr);
  T result;
  std::memcpy(&result, &bits, sizeof(T));
  return result;
}

// Whole warps only: the width is always 32.
template <typename T>
T __shfl_sync(uint32_t mask, T value, uint32_t source, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return shuffle(mask, value, source % 32, {file, line});
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, uint32_t lanes, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  return shuffle(mask, value, (lane() ^ lanes) % 32, {file, line});
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, uint32_t offset, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  return shuffle(mask, value, lane() + offset < 32 ? lane() + offset : lane(), {file, line});
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, uint32_t offset, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
  return shuffle(mask, value, lane() >= offset ? lane() - offset : lane(), {file, line});
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  uint32_t ballot = 0;
  exchange(mask, predicate != 0 ? 1 : 0, lane(), {file, line}, &ballot);
  return ballot;
}
inline int __any_sync(uint32_t mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0 ? 1 : 0;
}
inline int __all_sync(uint32_t mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) == mask ? 1 : 0;
}

// On global memory. Fibers switch only where they meet, so a plain update is one.
template <typename T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address = old + value;
  return old;
}
template <typename T>
T atomicMax(T* address, T value) {
  const T old = *address;
  *address = std::max(old, value);
  return old;
}

inline int __popc(uint32_t bits) { return __builtin_popcount(bits); }
inline int __ffs(uint32_t bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline int __clz(uint32_t bits) { return bits == 0 ? 32 : __builtin_clz(bits); }
// Bytes of the 8 of `low` and `high` that the 4 lowest nibbles of `selectors` name, by their 3 lowest bits.
inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selectors) {
  const uint64_t bytes = uint64_t{high} << 32 | low;
  uint32_t picked = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    picked |= static_cast<uint32_t>(bytes >> (selectors >> (4 * i) & 7) * 8 & 0xff) << (8 * i);
  }
  return picked;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

// NOLINTEND(readability-identifier-naming)

inline float half_to_float(uint16_t bits) { return f16_to_f32(bits); }
inline uint16_t float_to_half(float value) { return f32_to_f16(value); }
inline float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

}  // namespace orrery::cuda_emulated
