// ThreadPool: parallel loops with little overhead, for operations that issue hundreds of them per decoded token.
// Items are claimed dynamically, so a loaded core does not hold up the others; therefore an operation must compute each
// item the same way whoever runs it, and never split a sum by thread: results are then the same for any thread count.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace orrery {

class ThreadPool {
 public:
  // n_threads >= 1 counts the calling thread: n_threads - 1 workers are started.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(begin, end) on disjoint ranges that cover [0, n_items), each at most `grain` items long unless one call
  // covers them all, and returns when all are done. The calling thread takes part. fn must not throw and must not call
  // parallel_for. One thread at a time may call this.
  template <typename Fn>
  void parallel_for(int64_t n_items, int64_t grain, Fn&& fn) {
    if (n_items <= 0) return;
    if (workers_.empty() || n_items <= grain) {
      fn(int64_t{0}, n_items);
      return;
    }
    using Function = std::remove_reference_t<Fn>;
    run({[](void* context, int64_t begin, int64_t end) { (*static_cast<Function*>(context))(begin, end); },
         const_cast<void*>(static_cast<const void*>(std::addressof(fn))), n_items, grain < 1 ? 1 : grain});
  }

  // A grain that gives each thread about `chunks` chunks, for items of like cost; at least `least`.
  int64_t grain_for(int64_t n_items, int64_t least = 1, int64_t chunks = 4) const {
    const int64_t grain = n_items / (n_threads() * chunks);
    return grain > least ? grain : least;
  }

 private:
  struct Task {
    void (*call)(void*, int64_t, int64_t) = nullptr;
    void* context = nullptr;
    int64_t n_items = 0;
    int64_t grain = 1;
  };

  void run(const Task& task);
  void work();  // claims items of task_ until none is left
  void worker_loop();

  // Layout of state_: bit 0: a task is open to join; bits 1-11: workers inside it; bits 12-31: number of the task.
  static constexpr uint32_t kOpen = 1, kOneActive = 2, kActiveMask = 0xffe, kOneTask = 0x1000;

  Task task_;  // written only while no task is open and no worker inside
  alignas(64) std::atomic<int64_t> next_item_{0};
  alignas(64) std::atomic<uint32_t> state_{0};
  alignas(64) std::atomic<int> n_sleeping_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> busy_{false};
  std::vector<std::thread> workers_;
};

}  // namespace orrery
