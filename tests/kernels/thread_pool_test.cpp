#include "kernels/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace orrery {
namespace {

TEST(ThreadPool, VisitsEveryItemOnce) {
  for (int n_threads : {1, 2, 3, 8}) {
    ThreadPool pool(n_threads);
    EXPECT_EQ(pool.n_threads(), n_threads);
    for (int64_t n : {0, 1, 2, 7, 64, 1000}) {
      for (int64_t grain : {1, 3, 100, 5000}) {
        std::vector<int> visits(static_cast<size_t>(n), 0);  // each item by one thread only: TSan would tell
        pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(n), 1)) << n_threads << " " << n << " " << grain;
      }
    }
  }
}

TEST(ThreadPool, RangesAreNoLongerThanTheGrain) {
  ThreadPool pool(3);
  std::atomic<int64_t> longest{0};
  pool.parallel_for(100, 7, [&](int64_t begin, int64_t end) {
    int64_t seen = longest.load();
    while (end - begin > seen && !longest.compare_exchange_weak(seen, end - begin)) {
    }
  });
  EXPECT_EQ(longest.load(), 7);
}

TEST(ThreadPool, LoopsFollowEachOtherQuicklyAndAfterASleep) {
  ThreadPool pool(3);
  int64_t total = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 2000; ++i) {
      std::atomic<int64_t> sum{0};
      pool.parallel_for(16, 1, [&](int64_t begin, int64_t) { sum.fetch_add(begin, std::memory_order_relaxed); });
      total += sum.load();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // long enough for the workers to sleep
  }
  EXPECT_EQ(total, 4 * 2000 * 120);
}

TEST(ThreadPool, WorkersTakePart) {
  ThreadPool pool(2);
  std::atomic<int> inside{0};
  // Two items that each wait for the other: only two threads can finish them.
  pool.parallel_for(2, 1, [&](int64_t, int64_t) {
    inside.fetch_add(1);
    while (inside.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside.load(), 2);
}

TEST(ThreadPool, PoolsComeAndGo) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(1 + i % 4);
}

}  // namespace
}  // namespace orrery
