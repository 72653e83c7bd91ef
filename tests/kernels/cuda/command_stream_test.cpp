#define ORRERY_CUDA_EMULATED 1
#include "kernels/cuda/command_stream.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cuda/language.h"

namespace orrery::cuda_emulated {
namespace {

struct AddArguments {
  float* sum;
  const float* values;
  int64_t n;
};

__global__ void add_values(AddArguments a) {
  for (int64_t i = 0; i < a.n; ++i) *a.sum += a.values[i];
}

__global__ void fail_at_the_barrier(AddArguments) {
  if (threadIdx.x == 0) __syncthreads();
}

// A pass that adds uploaded numbers to a sum on the device, and brings it.
class CudaCommands : public ::testing::Test {
 protected:
  CudaCommands() : device_(make_emulated_device()), stream_(*device_) {
    sum_ = reinterpret_cast<float*>(device_->allocate(sizeof(float)).value());
    device_->zero(reinterpret_cast<std::byte*>(sum_), sizeof(float));
  }
  ~CudaCommands() override { device_->free(reinterpret_cast<std::byte*>(sum_)); }

  Result<void> pass(const std::vector<float>& values, void (*kernel)(AddArguments) = add_values) {
    const AddArguments arguments{sum_, stream_.upload(std::span(values)), static_cast<int64_t>(values.size())};
    stream_.push(make_launch("add", kernel, {}, {.x = kernel == add_values ? 1u : 32u}, arguments));
    const CommandStream::Copy wanted[] = {
        {reinterpret_cast<std::byte*>(&brought_), reinterpret_cast<const std::byte*>(sum_), sizeof(float)}};
    return stream_.finish(wanted);
  }

  std::unique_ptr<Device> device_;
  CommandStream stream_;
  float* sum_ = nullptr;
  float brought_ = 0.0f;
};

TEST_F(CudaCommands, RunAtFinishAndBringWhatIsWanted) {
  ASSERT_TRUE(pass({1.0f, 2.0f}));
  EXPECT_EQ(brought_, 3.0f);
  EXPECT_EQ(stream_.n_replays(), 0);
}

TEST_F(CudaCommands, RepeatedPassesReplayAGraphOnNewInputs) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(pass({static_cast<float>(i), 10.0f}));
  EXPECT_EQ(brought_, 46.0f);
  EXPECT_EQ(stream_.n_replays(), 3);
}

TEST_F(CudaCommands, APassThatDiffersRunsByItself) {
  ASSERT_TRUE(pass({1.0f, 1.0f}));
  ASSERT_TRUE(pass({1.0f, 1.0f}));
  ASSERT_TRUE(pass({1.0f, 1.0f, 1.0f}));
  EXPECT_EQ(brought_, 7.0f);
  EXPECT_EQ(stream_.n_replays(), 1);
}

TEST_F(CudaCommands, AnErrorSurfacesOnceAndTheNextPassRuns) {
  const Result<void> failed = pass({1.0f}, fail_at_the_barrier);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("barrier"), std::string::npos);
  ASSERT_TRUE(pass({5.0f}));
  EXPECT_EQ(brought_, 5.0f);
}

TEST_F(CudaCommands, ScratchIsAlignedDisjointAndTheSameInEveryPass) {
  std::array<std::byte*, 3> first{}, second{};
  const std::array<size_t, 3> sizes = {1, 300, size_t{9} << 20};
  for (size_t i = 0; i < 3; ++i) first[i] = stream_.scratch(sizes[i]);
  ASSERT_TRUE(stream_.finish({}));
  for (size_t i = 0; i < 3; ++i) second[i] = stream_.scratch(sizes[i]);
  EXPECT_EQ(first, second);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_NE(first[i], nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first[i]) % 256, 0U);
    std::memset(first[i], static_cast<int>(i), sizes[i]);
  }
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(first[i][sizes[i] - 1], std::byte(i));
}

TEST_F(CudaCommands, SharedScratchIsOnePieceUntilMoreIsAskedFor) {
  const std::byte* const first = stream_.shared_scratch(1000);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(stream_.shared_scratch(400), first);
  EXPECT_EQ(stream_.shared_scratch(1000), first);
  std::byte* const larger = stream_.shared_scratch(5000);
  EXPECT_TRUE(larger >= first + 1000 || larger + 5000 <= first);
  EXPECT_EQ(stream_.shared_scratch(1000), larger);
  EXPECT_NE(stream_.scratch(1), larger);
  ASSERT_TRUE(stream_.finish({}));
  EXPECT_EQ(stream_.shared_scratch(1000), first);
}

TEST_F(CudaCommands, MemoryThatCannotBeHadFailsThePassBeforeItRuns) {
  EXPECT_EQ(stream_.scratch(size_t{1} << 60), nullptr);
  const Result<void> failed = pass({1.0f});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kOutOfMemory);
  EXPECT_NE(failed.error().message.find("1152921504606846976"), std::string::npos);
  ASSERT_TRUE(pass({2.0f}));
  EXPECT_EQ(brought_, 2.0f);
}

TEST_F(CudaCommands, MultiplyAsCublasIsAskedTo) {
  const std::vector<float> x = {1, 2, 99, 3, 4, 99}, weight = {1, 0, 0, 1, 1, 1};
  float* const out = stream_.scratch_floats(8);
  stream_.push(Gemm{.x = stream_.upload(std::span(x)),
                    .weight = stream_.upload(std::span(weight)),
                    .out = out,
                    .x_stride = 3,
                    .out_stride = 4,
                    .n_rows = 2,
                    .n_out = 3,
                    .n_in = 2});
  std::array<float, 8> got{};
  const CommandStream::Copy wanted[] = {
      {reinterpret_cast<std::byte*>(got.data()), reinterpret_cast<const std::byte*>(out), sizeof(got)}};
  ASSERT_TRUE(stream_.finish(wanted));
  EXPECT_EQ(std::vector<float>(got.begin(), got.begin() + 3), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(std::vector<float>(got.begin() + 4, got.begin() + 7), (std::vector<float>{3, 4, 7}));
}

}  // namespace
}  // namespace orrery::cuda_emulated
