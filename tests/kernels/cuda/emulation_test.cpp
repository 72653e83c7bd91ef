// The emulation of CUDA: what runs right on a device runs right here, and mistakes that a device forgives, or hides
// until another day, are found.
#define ORRERY_CUDA_EMULATED 1
#include "kernels/cuda/emulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/language.h"

namespace orrery::cuda_emulated {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Arguments {
  float* out;
  int64_t n;
};

Launch launch_of(void (*kernel)(Arguments), std::vector<float>& out, Extent grid, Extent block, size_t shared = 0) {
  return make_launch("tested", kernel, grid, block, Arguments{out.data(), static_cast<int64_t>(out.size())}, shared);
}

std::string mistake(void (*kernel)(Arguments), Extent block = {.x = 64}) {
  std::vector<float> out(64);
  const Result<void> result = run(launch_of(kernel, out, {.x = 2}, block));
  return result ? "" : result.error().message;
}

__global__ void write_indices(Arguments a) {
  const uint32_t thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const uint32_t block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  a.out[block * blockDim.x * blockDim.y * blockDim.z + thread] += static_cast<float>(1000 * block + thread);
}

TEST(Emulation, RunsEveryThreadOfEveryBlockOnce) {
  std::vector<float> out(2 * 3 * 2 * 4 * 5 * 2);
  ASSERT_TRUE(run(launch_of(write_indices, out, {2, 3, 2}, {4, 5, 2})));
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<float>(1000 * (i / 40) + i % 40));
}

__global__ void sum_of_squares(Arguments a) {
  ORRERY_SHARED(float, sums, kWarp);
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < a.n; i += blockDim.x) sum += static_cast<float>(i * i);
  const float total = block_sum(sum, sums);
  const float greatest = block_max(static_cast<float>(threadIdx.x), sums);
  if (threadIdx.x == 0) {
    a.out[0] = total;
    a.out[1] = greatest;
  }
}

TEST(Emulation, ReducesOverABlockThroughShufflesBarriersAndSharedMemory) {
  for (const uint32_t n_threads : {32u, 96u, 1024u}) {
    std::vector<float> out(100);
    ASSERT_TRUE(run(launch_of(sum_of_squares, out, {}, {.x = n_threads})));
    EXPECT_EQ(out[0], 328350.0f);
    EXPECT_EQ(out[1], static_cast<float>(n_threads - 1));
  }
}

__global__ void vote_and_shuffle(Arguments a) {
  const uint32_t odd = __ballot_sync(kWholeWarp, threadIdx.x % 2 == 1);
  const int all = __all_sync(kWholeWarp, threadIdx.x < 32), any = __any_sync(kWholeWarp, threadIdx.x == 7);
  const float down = __shfl_down_sync(kWholeWarp, static_cast<float>(threadIdx.x), 3);
  const float up = __shfl_up_sync(kWholeWarp, static_cast<float>(threadIdx.x), 3);
  const double from = __shfl_sync(kWholeWarp, 0.5 * threadIdx.x, 9);
  a.out[threadIdx.x] =
      odd == 0xaaaaaaaau && all == 1 && any == 1 ? down + 100.0f * up + static_cast<float>(from) : -1.0f;
}

TEST(Emulation, ShufflesAndVotesAsAWarpDoes) {
  std::vector<float> out(32);
  ASSERT_TRUE(run(launch_of(vote_and_shuffle, out, {}, {.x = 32})));
  for (int i = 0; i < 32; ++i) {
    const int down = i + 3 < 32 ? i + 3 : i, up = i >= 3 ? i - 3 : i;
    EXPECT_EQ(out[static_cast<size_t>(i)], static_cast<float>(down) + 100.0f * static_cast<float>(up) + 4.5f);
  }
}

__global__ void reverse_in_dynamic_memory(Arguments a) {
  ORRERY_DYNAMIC_SHARED(float, values);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  a.out[threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

TEST(Emulation, GivesDynamicSharedMemoryOfTheLaunchsSize) {
  std::vector<float> out(64);
  ASSERT_TRUE(run(launch_of(reverse_in_dynamic_memory, out, {}, {.x = 64}, 64 * sizeof(float))));
  EXPECT_EQ(out[0], 63.0f);
  const Result<void> less = run(launch_of(reverse_in_dynamic_memory, out, {}, {.x = 64}, 63 * sizeof(float)));
  ASSERT_FALSE(less);
  EXPECT_THAT(less.error().message, HasSubstr("writes values[63] of 63 elements"));
}

__global__ void leave_before_the_barrier(Arguments) {
  if (threadIdx.x == 40) return;
  __syncthreads();
}

__global__ void meet_at_two_barriers(Arguments) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(Emulation, FindsABarrierThatNotAllThreadsReach) {
  EXPECT_THAT(mistake(leave_before_the_barrier),
              AllOf(HasSubstr("kernel tested, block 0,0,0"), HasSubstr("not all threads reach the barrier"),
                    HasSubstr("emulation_test.cpp"), HasSubstr("thread 40 has left")));
  EXPECT_THAT(mistake(meet_at_two_barriers), HasSubstr("thread 1 waits at emulation_test.cpp"));
}

__global__ void leave_before_the_shuffle(Arguments a) {
  if (threadIdx.x == 5) return;
  a.out[threadIdx.x] = __shfl_sync(kWholeWarp, 1.0f, 0);
}

__global__ void shuffle_outside_of_the_mask(Arguments a) { a.out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 0); }

TEST(Emulation, FindsAnExchangeThatNotAllLanesReach) {
  EXPECT_THAT(mistake(leave_before_the_shuffle),
              AllOf(HasSubstr("the warp's exchange"), HasSubstr("thread 5 has left")));
  EXPECT_THAT(mistake(shuffle_outside_of_the_mask), HasSubstr("is not in the mask"));
}

__global__ void read_unwritten(Arguments a) {
  ORRERY_SHARED(float, half_full, 64);
  if (threadIdx.x < 32) half_full[threadIdx.x] = 1.0f;
  __syncthreads();
  a.out[threadIdx.x] = half_full[threadIdx.x];
}

TEST(Emulation, FindsReadsOfUnwrittenSharedMemory) {
  EXPECT_THAT(mistake(read_unwritten), HasSubstr("thread 32: reads shared memory that was not written: half_full[32]"));
}

__global__ void read_the_neighbour(Arguments a) {
  ORRERY_SHARED(float, values, 64);
  values[threadIdx.x] = 1.0f;
  a.out[threadIdx.x] = values[(threadIdx.x + 63) % 64];
}

__global__ void overwrite_what_is_read(Arguments a) {
  ORRERY_SHARED(float, values, 64);
  values[threadIdx.x] = 1.0f;
  __syncthreads();
  a.out[threadIdx.x] = values[(threadIdx.x + 63) % 64];
  values[threadIdx.x] = 2.0f;
}

__global__ void write_the_same(Arguments) {
  ORRERY_SHARED(float, value, 1);
  value[0] = static_cast<float>(threadIdx.x);
}

TEST(Emulation, FindsSharedMemoryThatIsUsedWithNoBarrierBetween) {
  EXPECT_THAT(mistake(read_the_neighbour), AnyOf(HasSubstr("wrote with no barrier between"), HasSubstr("not written")));
  EXPECT_THAT(mistake(overwrite_what_is_read), HasSubstr("with no barrier between"));
  EXPECT_THAT(mistake(write_the_same), HasSubstr("thread 1: writes value[0], which thread 0 wrote with no barrier"));
}

__global__ void exchange_within_the_warp(Arguments a) {
  ORRERY_SHARED(float, values, 64);
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncwarp();
  a.out[threadIdx.x] = values[threadIdx.x ^ 1];
}

TEST(Emulation, TakesAWarpsBarrierForTheWarpsOwnElements) { EXPECT_EQ(mistake(exchange_within_the_warp), ""); }

__global__ void too_much_shared_memory(Arguments) {
  ORRERY_SHARED(float, large, 20000);
  large[threadIdx.x] = 0.0f;
}

TEST(Emulation, RefusesWhatNoDeviceRuns) {
  EXPECT_THAT(mistake(too_much_shared_memory), HasSubstr("shared memory is at most 49152 bytes"));
  EXPECT_THAT(mistake(write_the_same, {.x = 1025}), HasSubstr("no device runs"));
  EXPECT_THAT(mistake(write_the_same, {.x = 0}), HasSubstr("no device runs"));
}

__global__ void count_in_global_memory(Arguments a) {
  atomicAdd(&a.out[0], 1.0f);
  atomicMax(&a.out[1], static_cast<float>(threadIdx.x));
}

TEST(Emulation, UpdatesGlobalMemoryAtomically) {
  std::vector<float> out(2);
  ASSERT_TRUE(run(launch_of(count_in_global_memory, out, {.x = 3}, {.x = 50})));
  EXPECT_EQ(out[0], 150.0f);
  EXPECT_EQ(out[1], 49.0f);
}

}  // namespace
}  // namespace orrery::cuda_emulated
