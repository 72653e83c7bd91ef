#include "kernels/thread_pool.h"

#include <chrono>

#include "kernels/base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace orrery {

namespace {

// How long a thread spins before it sleeps: decode leaves a few microseconds between two parallel loops.
constexpr std::chrono::microseconds kSpinTime{50};
constexpr int kPausesPerClockRead = 32;

void cpu_pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Spins until ready() or until the spin time is over; returns ready().
template <typename Ready>
bool spin_until(const Ready& ready) {
  const auto give_up = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      if (ready()) return true;
      cpu_pause();
    }
  } while (std::chrono::steady_clock::now() < give_up);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) {
  CHECK(n_threads >= 1 && n_threads <= 1024, "a pool has 1 to 1024 threads");
  workers_.reserve(static_cast<size_t>(n_threads - 1));
  for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this] { worker_loop(); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  state_.fetch_add(kOneTask);  // a state that no sleeper waits on
  state_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const Task& task) {
  CHECK(!busy_.exchange(true, std::memory_order_acquire), "parallel_for within parallel_for, or from two threads");
  task_ = task;
  next_item_.store(0, std::memory_order_relaxed);
  // No task is open and no worker inside, so the low bits are 0. Sequentially consistent with n_sleeping_: either we
  // see the sleeper here, or it sees the new state before it sleeps.
  state_.store(((state_.load(std::memory_order_relaxed) & ~(kOneTask - 1)) + kOneTask) | kOpen);
  if (n_sleeping_.load() > 0) state_.notify_all();

  work();

  // Close, so that late workers stay out, and wait for those inside. A worker that the system has put aside before it
  // joined does not hold us up.
  uint32_t state = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  const auto all_left = [&] {
    state = state_.load(std::memory_order_acquire);
    return (state & kActiveMask) == 0;
  };
  while (!all_left() && !spin_until(all_left)) std::this_thread::yield();
  busy_.store(false, std::memory_order_release);
}

void ThreadPool::work() {
  const Task task = task_;
  for (;;) {
    const int64_t begin = next_item_.fetch_add(task.grain, std::memory_order_relaxed);
    if (begin >= task.n_items) return;
    const int64_t end = begin + task.grain < task.n_items ? begin + task.grain : task.n_items;
    task.call(task.context, begin, end);
  }
}

void ThreadPool::worker_loop() {
  uint32_t last_task = ~0u;
  for (;;) {
    uint32_t state = state_.load(std::memory_order_acquire);
    const auto has_news = [&] {
      state = state_.load(std::memory_order_acquire);
      return stopping_.load(std::memory_order_relaxed) || ((state & kOpen) != 0 && state / kOneTask != last_task);
    };
    if (!has_news() && !spin_until(has_news)) {
      n_sleeping_.fetch_add(1);
      if (!has_news()) state_.wait(state);
      n_sleeping_.fetch_sub(1);
      continue;
    }
    if (stopping_.load(std::memory_order_relaxed)) return;
    if (!state_.compare_exchange_weak(state, state + kOneActive, std::memory_order_acq_rel)) continue;
    last_task = state / kOneTask;
    work();
    state_.fetch_sub(kOneActive, std::memory_order_release);
  }
}

}  // namespace orrery
