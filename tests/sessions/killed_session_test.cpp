// A recording program is killed at random instants; whatever is left must open, be whole, and lack at most the last
// 200 ms.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "sessions/repair.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using Clock = std::chrono::steady_clock;

int64_t since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

// What the child has published, in memory that it shares with the test.
struct Progress {
  std::atomic<int64_t> started_ns{0};  // CLOCK_MONOTONIC when its run began, 0 before
};

// The child: records steps as fast as they come, about 300 a second, each token with the time at which it was
// published.
[[noreturn]] void record_until_killed(const std::string& path, const ModelConfig& config, Progress& progress) {
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  if (!recorder) _exit(2);
  const Clock::time_point start = Clock::now();
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  if (!run) _exit(3);
  progress.started_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(start.time_since_epoch()).count();
  for (int64_t step = 0;; ++step) {
    // Now and then a run ends and another begins.
    const Level level = step % 50 < 40 ? Level::kStandard : Level::kFull;
    if (!ring->push_within(testing::make_batch(config, level, *run, step, step + 1, since(start)),
                           std::chrono::seconds(10))) {
      _exit(4);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
}

// Tokens of a run are contiguous, and each has the Frames of its step, bit for bit.
int64_t check_whole(const std::string& path, const ModelConfig& config) {
  auto reader = SessionReader::open(path);
  EXPECT_TRUE(reader) << reader.error().message;
  if (!reader) return -1;
  const auto runs = (*reader)->runs();
  EXPECT_TRUE(runs) << runs.error().message;
  if (!runs || runs->empty()) return -1;
  const RunRecord& record = runs->back();
  EXPECT_EQ(record.end, RunEnd::kInterrupted);
  const auto tokens = (*reader)->tokens(record.run);
  EXPECT_TRUE(tokens) << tokens.error().message;
  if (!tokens) return -1;
  for (size_t i = 0; i < tokens->size(); ++i) EXPECT_EQ((*tokens)[i].step, static_cast<int64_t>(i));
  for (const char* name : {"attention.entropy", "attention.top", "residual.norm", "cache.bytes"}) {
    EXPECT_EQ(testing::count_whole_steps(**reader, *find_probe(name), config, record.run),
              static_cast<int64_t>(tokens->size()))
        << name;
  }
  testing::count_whole_steps(**reader, *find_probe("attention.row"), config, record.run);
  return tokens->empty() ? 0 : tokens->back().time_ns;
}

TEST(KilledSession, KeepsAllButTheLast200Milliseconds) {
  constexpr int kKills = 50;
  const testing::TempFolder folder;
  const ModelConfig config = testing::llama_like(4, 3);
  std::mt19937 random(7);
  std::uniform_int_distribution<int> lifetime_us(1'000, 300'000);
  auto* progress = static_cast<Progress*>(
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(progress, MAP_FAILED);
  int64_t n_with_steps = 0;
  for (int i = 0; i < kKills; ++i) {
    // Some sessions are killed again while a second run is added.
    const std::string path = folder.file("killed" + std::to_string(i / 2) + ".orrery");
    new (progress) Progress;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) record_until_killed(path, config, *progress);
    std::this_thread::sleep_for(std::chrono::microseconds(lifetime_us(random)));
    const int64_t killed_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
    if (progress->started_ns == 0) continue;  // killed before its run began
    const int64_t last_ns = check_whole(path, config);
    ASSERT_GE(last_ns, 0);
    EXPECT_LE(killed_ns - progress->started_ns - last_ns, 200'000'000) << "kill " << i;
    n_with_steps += last_ns > 0 ? 1 : 0;
    EXPECT_FALSE(has_log(path));  // repaired: one file
  }
  munmap(progress, sizeof(Progress));
  EXPECT_GT(n_with_steps, kKills / 4);
}

}  // namespace
}  // namespace orrery
