// Runs a launch block after block; the threads of a block are fibers that take turns.
#include <sys/mman.h>

#include <boost/context/fiber.hpp>
#include <boost/context/stack_context.hpp>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/emulated_block.h"

#ifdef ORRERY_EMULATION_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace orrery::cuda_emulated {

thread_local Block* current_block = nullptr;

namespace {

constexpr uint32_t kMaxThreads = 1024;  // of a block, on every device
constexpr size_t kStackBytes = size_t{128} << 10;

// Stacks are mapped once per thread and used again by every block.
class StackPool {
 public:
  StackPool() = default;
  ~StackPool() {
    for (void* stack : free_) munmap(stack, kStackBytes);
  }
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  void* take() {
    if (!free_.empty()) {
      void* const stack = free_.back();
      free_.pop_back();
      return stack;
    }
    void* const stack =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(stack != MAP_FAILED, "no memory for the stack of an emulated thread");
    return stack;
  }
  void give_back(void* stack) { free_.push_back(stack); }

 private:
  std::vector<void*> free_;
};

StackPool& stack_pool() {
  static thread_local StackPool pool;
  return pool;
}

// What boost's fibers ask for stacks; tells where the stack begins.
class PooledStack {
 public:
  explicit PooledStack(const void** bottom) : bottom_(bottom) {}
  boost::context::stack_context allocate() {
    void* const stack = stack_pool().take();
    *bottom_ = stack;
    boost::context::stack_context context;
    context.size = kStackBytes;
    context.sp = static_cast<char*>(stack) + kStackBytes;
    return context;
  }
  void deallocate(boost::context::stack_context& context) {
    stack_pool().give_back(static_cast<char*>(context.sp) - context.size);
  }

 private:
  const void** bottom_;
};

std::string place(const Place& where) {
  const std::string_view file = where.file;
  return std::string(file.substr(file.rfind('/') + 1)) + ":" + std::to_string(where.line);
}

}  // namespace

std::string Block::thread_name(uint32_t thread) const {
  const Index& index = threads[thread].index;
  std::string text = "thread ";
  text += std::to_string(index.x);
  if (launch.block.y > 1 || launch.block.z > 1) text.append(",").append(std::to_string(index.y));
  if (launch.block.z > 1) text.append(",").append(std::to_string(index.z));
  return text;
}

std::string Block::name() const {
  return "kernel " + std::string(launch.name) + ", block " + std::to_string(blockIdx.x) + "," +
         std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z);
}

void Block::fail(const std::string& mistake) {
  if (!error) {
    error = Error{ErrorCode::kMismatch, name() + ", " + thread_name(running) + ": " + mistake};
  }
  throw *error;
}

void Block::start(uint32_t thread) {
  Thread& self = threads[thread];
  self.fiber = boost::context::fiber(std::allocator_arg, PooledStack(&self.stack_bottom),
                                     [this, thread](boost::context::fiber&& caller) {
                                       Thread& me = threads[thread];
                                       me.caller = std::move(caller);
#ifdef ORRERY_EMULATION_ASAN
                                       __sanitizer_finish_switch_fiber(nullptr, &loop_stack, &loop_stack_bytes);
#endif
                                       try {
                                         if (!error) launch.call(launch.kernel, launch.arguments.data());
                                       } catch (const Error&) {  // fail() has kept it
                                       }
                                       me.wait = Wait::kLeft;
#ifdef ORRERY_EMULATION_ASAN
                                       __sanitizer_start_switch_fiber(nullptr, loop_stack, loop_stack_bytes);
#endif
                                       return std::move(me.caller);
                                     });
}

void Block::resume(uint32_t thread) {
  running = thread;
  Thread& self = threads[thread];
  threadIdx = self.index;
#ifdef ORRERY_EMULATION_ASAN
  void* fake_stack = nullptr;
  // The fiber's own record lies at the top of its stack, so the pool's bounds are right for all of it.
  __sanitizer_start_switch_fiber(&fake_stack, self.stack_bottom, kStackBytes);
#endif
  self.fiber = std::move(self.fiber).resume();
#ifdef ORRERY_EMULATION_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Block::suspend(Wait wait, Place where) {
  Thread& self = current();
  self.wait = wait;
  self.where = where;
#ifdef ORRERY_EMULATION_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, loop_stack, loop_stack_bytes);
#endif
  self.caller = std::move(self.caller).resume();
#ifdef ORRERY_EMULATION_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &loop_stack, &loop_stack_bytes);
#endif
  if (error) throw *error;  // another thread's mistake ends this one where it waits
}

// Completes the exchanges of a warp at which every lane of the mask has arrived.
bool Block::release_warp(uint32_t first) {
  bool released = false;
  const uint32_t n_lanes = std::min(kWarpSize, n_threads() - first);
  uint32_t arrived = 0;
  for (uint32_t i = 0; i < n_lanes; ++i) {
    if (threads[first + i].wait == Wait::kWarp) arrived |= 1u << i;
  }
  for (uint32_t i = 0; i < n_lanes; ++i) {
    const Thread& one = threads[first + i];
    if (one.wait != Wait::kWarp) continue;
    const uint32_t mask = one.mask;
    const Place where = one.where;
    bool complete = (arrived & mask) == mask;
    for (uint32_t j = 0; complete && j < n_lanes; ++j) {
      const Thread& other = threads[first + j];
      if ((mask >> j & 1u) != 0) complete = other.mask == mask && other.where == where;
    }
    if (!complete) continue;
    uint32_t ballot = 0;
    for (uint32_t j = 0; j < n_lanes; ++j) {
      if ((mask >> j & 1u) != 0 && threads[first + j].given != 0) ballot |= 1u << j;
    }
    for (uint32_t j = 0; j < n_lanes; ++j) {
      if ((mask >> j & 1u) == 0) continue;
      Thread& lane = threads[first + j];
      const bool in_mask = lane.source_lane < n_lanes && (mask >> lane.source_lane & 1u) != 0;
      lane.received = threads[first + (in_mask ? lane.source_lane : j)].given;
      lane.ballot = ballot;
      lane.wait = Wait::kNothing;
      arrived &= ~(1u << j);
    }
    if (mask == 0xffffffffu) ++warp_epochs[first / kWarpSize];
    released = true;
  }
  return released;
}

// Runs a warp until all its lanes wait for another warp, or for lanes that never come. Whether any of them ran.
bool Block::run_warp(uint32_t first) {
  const uint32_t end = std::min(first + kWarpSize, n_threads());
  bool ran = false;
  do {
    for (uint32_t i = first; i < end && !error; ++i) {
      if (threads[i].wait != Wait::kNothing) continue;
      resume(i);
      ran = true;
    }
  } while (!error && release_warp(first));
  return ran;
}

bool Block::release_barrier() {
  const Thread& first = threads.front();
  for (const Thread& thread : threads) {
    if (thread.wait != Wait::kBarrier || thread.where != first.where) {
      return false;
    }
  }
  for (Thread& thread : threads) thread.wait = Wait::kNothing;
  ++block_epoch;
  return true;
}

void Block::run_threads() {
  warp_epochs.assign((threads.size() + kWarpSize - 1) / kWarpSize, 0);
  for (uint32_t i = 0; i < n_threads(); ++i) {
    Thread& thread = threads[i];
    thread.index = {i % launch.block.x, i / launch.block.x % launch.block.y, i / (launch.block.x * launch.block.y)};
    start(i);
  }
  while (!error) {
    bool ran = false;
    for (uint32_t first = 0; first < n_threads(); first += kWarpSize) ran = run_warp(first) || ran;
    if (error || ran || release_barrier()) continue;
    // Nobody can go on: all have left, or some wait for others that never come.
    for (uint32_t i = 0; i < n_threads(); ++i) {
      if (threads[i].wait == Wait::kLeft) continue;
      const char* const what = threads[i].wait == Wait::kBarrier ? "the barrier" : "the warp's exchange";
      uint32_t absent = 0;
      while (absent + 1 < n_threads() && threads[absent].wait == threads[i].wait &&
             threads[absent].where == threads[i].where) {
        ++absent;
      }
      error =
          Error{ErrorCode::kMismatch,
                name() + ": not all threads reach " + what + " at " + place(threads[i].where) + ": " + thread_name(i) +
                    " waits, " + thread_name(absent) +
                    (threads[absent].wait == Wait::kLeft ? " has left" : " waits at " + place(threads[absent].where))};
      break;
    }
    break;
  }
  for (uint32_t i = 0; error && i < n_threads(); ++i) {
    if (threads[i].wait != Wait::kLeft) resume(i);
  }
}

void __syncthreads(const char* file, int line) { current_block->suspend(Wait::kBarrier, {file, line}); }

uint32_t lane() { return current_block->running % kWarpSize; }

uint64_t exchange(uint32_t mask, uint64_t bits, uint32_t source_lane, Place where, uint32_t* ballot) {
  Block& block = *current_block;
  if ((mask >> lane() & 1u) == 0) block.fail("is not in the mask of the exchange at " + place(where));
  Thread& self = block.current();
  self.mask = mask;
  self.given = bits;
  self.source_lane = source_lane;
  block.suspend(Wait::kWarp, where);
  if (ballot != nullptr) *ballot = self.ballot;
  return self.received;
}

void __syncwarp(uint32_t mask, const char* file, int line) { exchange(mask, 0, lane(), {file, line}, nullptr); }

Result<void> run(const Launch& launch) {
  CHECK(launch.call != nullptr, "a kernel of a device cannot be emulated");
  const uint64_t n_threads = launch.block.volume();
  if (n_threads == 0 || n_threads > kMaxThreads || launch.grid.volume() == 0 || launch.grid.y > 65535 ||
      launch.grid.z > 65535) {
    return Error{ErrorCode::kMismatch, "kernel " + std::string(launch.name) + ": no device runs a grid of " +
                                           std::to_string(launch.grid.volume()) + " blocks of " +
                                           std::to_string(n_threads) + " threads"};
  }
  blockDim = {launch.block.x, launch.block.y, launch.block.z};
  gridDim = {launch.grid.x, launch.grid.y, launch.grid.z};
  for (uint32_t z = 0; z < launch.grid.z; ++z) {
    for (uint32_t y = 0; y < launch.grid.y; ++y) {
      for (uint32_t x = 0; x < launch.grid.x; ++x) {
        blockIdx = {x, y, z};
        Block block(launch);
        current_block = &block;
        block.run_threads();
        current_block = nullptr;
        if (block.error) return *block.error;
      }
    }
  }
  return {};
}

}  // namespace orrery::cuda_emulated
