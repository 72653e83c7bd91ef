// The inside of the emulation: a block while it runs. Internal to emulation.cpp, which lets its threads take turns, and
// emulated_memory.cpp, which watches its shared memory.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/emulation.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ORRERY_EMULATION_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ORRERY_EMULATION_ASAN 1
#endif

namespace orrery::cuda_emulated {

inline constexpr uint32_t kWarpSize = 32;
inline constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();

enum class Wait : uint8_t { kNothing, kBarrier, kWarp, kLeft };

// Who touched an element of shared memory, and how many barriers of the block and of its warp that thread had passed.
struct Access {
  uint32_t thread = kNobody;
  uint32_t block_epoch = 0;
  uint32_t warp_epoch = 0;
};

struct Element {
  Access writer;
  Access reader;
  bool many_readers = false;  // since the last barrier of the block
};

struct Thread {
  boost::context::fiber fiber;   // suspended; empty while it runs
  boost::context::fiber caller;  // the block's loop, while it runs
  const void* stack_bottom = nullptr;
  Index index;
  Wait wait = Wait::kNothing;
  Place where;
  // Of the warp's exchange that it waits at.
  uint32_t mask = 0;
  uint32_t source_lane = 0;
  uint64_t given = 0;
  uint64_t received = 0;
  uint32_t ballot = 0;
};

struct Array {
  std::string name;
  size_t element_bytes = 0;
  std::vector<std::byte> bytes;
  std::vector<Element> elements;
};

// A block while it runs: its threads, and what is known of its shared memory.
struct Block {
  explicit Block(const Launch& of) : launch(of), threads(of.block.volume()) {}

  const Launch& launch;
  std::vector<Thread> threads;
  std::map<const void*, std::unique_ptr<Array>> shared;
  size_t shared_bytes = 0;
  uint32_t running = 0;
  uint32_t block_epoch = 0;
  std::vector<uint32_t> warp_epochs;
  std::optional<Error> error;
#ifdef ORRERY_EMULATION_ASAN
  const void* loop_stack = nullptr;
  size_t loop_stack_bytes = 0;
#endif

  uint32_t n_threads() const { return static_cast<uint32_t>(threads.size()); }
  Thread& current() { return threads[running]; }
  void run_threads();
  void start(uint32_t thread);
  void resume(uint32_t thread);
  void suspend(Wait wait, Place where);
  // Keeps the first mistake and leaves the running thread for good.
  [[noreturn]] void fail(const std::string& mistake);
  std::string name() const;  // with the kernel's
  std::string thread_name(uint32_t thread) const;
  bool run_warp(uint32_t first);
  bool release_warp(uint32_t first);
  bool release_barrier();
  void check_read(Array& array, size_t i);
  void check_write(Array& array, size_t i);
  bool is_ordered(const Access& earlier) const;
  Access access() const;
};

extern thread_local Block* current_block;

}  // namespace orrery::cuda_emulated
