#define ORRERY_CUDA_EMULATED 1
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/kv_store.h"

namespace orrery::cuda_emulated {
namespace {

// Two sequences that grow, with a window over one of them, as in a decode step of a batch.
class CudaAttentionLaunches : public ::testing::Test {
 protected:
  static constexpr int32_t kHeads = 2, kDHead = 8;
  static constexpr int64_t kPages = 48;

  CudaAttentionLaunches()
      : device_(make_emulated_device()),
        stream_(*device_),
        q_(allocate(2 * kHeads * kDHead)),
        out_(allocate(2 * kHeads * kDHead)),
        top_(allocate(2 * kHeads * 64)),
        page_(reinterpret_cast<std::byte*>(allocate(kHeads * kKvPageTokens * kDHead))) {
    const auto page_bytes = kv_page_bytes(DType::kF32, kHeads, kDHead);
    device_->zero(page_, page_bytes);
    device_->zero(reinterpret_cast<std::byte*>(q_), 2 * kHeads * kDHead * sizeof(float));
  }
  ~CudaAttentionLaunches() override {
    for (float* memory : memory_) device_->free(reinterpret_cast<std::byte*>(memory));
  }

  float* allocate(int64_t n) {
    memory_.push_back(reinterpret_cast<float*>(device_->allocate(static_cast<size_t>(n) * sizeof(float)).value()));
    return memory_.back();
  }

  // A page whose numbers differ.
  float* filled_page() {
    constexpr int64_t kNumbers = kHeads * kKvPageTokens * kDHead;
    float* const page = allocate(kNumbers);
    for (int64_t i = 0; i < kNumbers; ++i) page[i] = std::cos(static_cast<float>(3 * i));
    return page;
  }

  // A step in which the second sequence has `length` tokens and the first twice as many.
  void step(int64_t length) {
    const std::vector<const std::byte*> pages(kPages, page_);
    const auto n_pages = [](int64_t n) { return static_cast<size_t>((n + kKvPageTokens - 1) / kKvPageTokens); };
    const std::span<const std::byte* const> all(pages);
    const KvPages sequences[] = {{all.first(n_pages(2 * length)), all.first(n_pages(2 * length))},
                                 {all.first(n_pages(length)), all.first(n_pages(length))}};
    const AttentionRow rows[] = {{0, std::max<int64_t>(0, 2 * length - 100), 2 * length}, {1, 0, length}};
    AttentionArgs args;
    args.q = Matrix<const float>(q_, 2, kHeads * kDHead);
    args.out = Matrix<float>(out_, 2, kHeads * kDHead);
    args.rows = rows;
    args.sequences = sequences;
    args.kv_dtype = DType::kF32;
    args.n_heads = args.n_kv_heads = kHeads;
    args.d_head_k = args.d_head_v = kDHead;
    args.scale = 1.0f;
    AttentionStats stats;
    stats.top = {top_, kHeads * 64};
    attention(args, stats, stream_);
    const CommandStream::Copy wanted[] = {
        {reinterpret_cast<std::byte*>(brought_.data()), reinterpret_cast<const std::byte*>(top_), sizeof(brought_)}};
    const Result<void> finished = stream_.finish(wanted);
    ASSERT_TRUE(finished) << finished.error().message;
    // All weights are equal: the first that each row sees are listed.
    EXPECT_EQ(brought_[0], static_cast<float>(rows[0].key_begin));
    EXPECT_FLOAT_EQ(brought_[1], 1.0f / static_cast<float>(rows[0].key_end - rows[0].key_begin));
    EXPECT_FLOAT_EQ(brought_[kHeads * 64 + 1], 1.0f / static_cast<float>(length));
  }

  std::unique_ptr<Device> device_;
  CommandStream stream_;
  std::vector<float*> memory_;
  float* q_;
  float* out_;
  float* top_;
  std::byte* page_;
  std::array<float, 2 * kHeads * 64> brought_{};
};

TEST_F(CudaAttentionLaunches, AreEqualFromStepToStep) {
  for (const int64_t length : {63, 64, 65, 66, 67}) step(length);
  EXPECT_EQ(stream_.n_replays(), 4) << "all steps but the first, over the border of a page";
}

TEST_F(CudaAttentionLaunches, ChangeWhereATableOfPagesIsFull) {
  for (const int64_t length : {1343, 1344, 1345, 1346}) step(length);
  EXPECT_EQ(stream_.n_replays(), 2) << "63 pages of both sequences, then 65";
}

// Parts that take no more than three rows' scores at once.
TEST_F(CudaAttentionLaunches, TakeRowsInPartsWhereScratchIsShort) {
  constexpr int64_t kRows = 8;
  std::vector<float> q(kRows * kHeads * kDHead);
  for (size_t i = 0; i < q.size(); ++i) q[i] = std::sin(static_cast<float>(i));
  std::vector<AttentionRow> rows;
  for (int64_t r = 0; r < kRows; ++r) rows.push_back({0, 0, 100 + r});
  const std::vector<const std::byte*> pages(2, reinterpret_cast<const std::byte*>(filled_page()));
  const KvPages sequences[] = {{pages, pages}};
  AttentionArgs args;
  args.q = Matrix<const float>(q.data(), kRows, kHeads * kDHead);
  args.rows = rows;
  args.sequences = sequences;
  args.kv_dtype = DType::kF32;
  args.n_heads = args.n_kv_heads = kHeads;
  args.d_head_k = args.d_head_v = kDHead;
  args.scale = 1.0f;
  std::vector<float> outs[2], entropies[2];
  for (const size_t in_parts : {0, 1}) {
    outs[in_parts].resize(q.size());
    entropies[in_parts].resize(kRows * kHeads);
    args.out = Matrix<float>(outs[in_parts].data(), kRows, kHeads * kDHead);
    AttentionStats stats;
    stats.entropy = {entropies[in_parts].data(), kHeads};
    attention(args, stats, stream_, in_parts == 1 ? 3 * kHeads * 2048 : int64_t{1} << 20);
    ASSERT_TRUE(stream_.finish({}));
  }
  EXPECT_EQ(outs[0], outs[1]);
  EXPECT_EQ(entropies[0], entropies[1]);
  EXPECT_GT(entropies[0].back(), 1.0f);
}

}  // namespace
}  // namespace orrery::cuda_emulated
