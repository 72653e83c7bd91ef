// A mask and a sigmoid in an attention layer, against the plain attention over the same queries, keys and values.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>

#include "engine/blocks/attention_mixer.h"
#include "tests/kernels/random_tensors.h"

namespace orrery::testing {
namespace {

constexpr int64_t kModel = 12, kTokens = 150;
constexpr int32_t kHeads = 3, kKvHeads = 1, kWidth = 4;

// One layer with random weights and no rotation.
class MaskedAttention : public ::testing::Test {
 protected:
  MaskedAttention() {
    config_.n_heads = kHeads;
    config_.n_kv_heads = kKvHeads;
    config_.d_head_k = config_.d_head_v = kWidth;
    config_.scale = 0.5f;
  }

  TensorView weight(int64_t n_rows, int64_t n_cols, uint32_t seed) {
    values_.push_back(random_floats(static_cast<size_t>(n_rows * n_cols), seed, 0.6f));
    return {DType::kF32, {n_rows, n_cols}, reinterpret_cast<const std::byte*>(values_.back().data())};
  }

  std::vector<float> run(std::shared_ptr<const KeyMask> mask) {
    AttentionWeights weights;
    weights.q = weight(kHeads * kWidth, kModel, 1);
    weights.k = weight(kKvHeads * kWidth, kModel, 2);
    weights.v = weight(kKvHeads * kWidth, kModel, 3);
    weights.output = weight(kModel, kHeads * kWidth, 4);
    const Attention attention(config_, weights, 1e-5f, std::move(mask));
    Cache cache({{.key = {}, .spec = attention.describe_state(DType::kF32).front()}}, backend_);
    EXPECT_TRUE(cache.reserve(kTokens));
    const std::vector<int32_t> tokens(kTokens), sequences(kTokens);
    std::vector<int64_t> positions(kTokens);
    std::iota(positions.begin(), positions.end(), 0);
    Cache* const caches[] = {&cache};
    const Batch batch{tokens, positions, sequences, caches, kTokens};
    Workspace workspace(backend_);
    const ProbeBuffer probes(backend_);
    const Step step{.backend = *backend_, .workspace = workspace, .batch = batch, .probes = probes};
    const std::vector<float> x = random_floats(kTokens * kModel, 5);
    std::vector<float> out(x.size());
    attention.forward(step, {x.data(), kTokens, kModel}, {out.data(), kTokens, kModel});
    return out;
  }

  AttentionConfig config_;
  std::shared_ptr<Backend> backend_ = make_cpu_backend(2);
  std::vector<std::vector<float>> values_;
};

TEST_F(MaskedAttention, OfTheRecentKeysAloneIsAWindow) {
  const std::vector<float> masked = run(std::make_shared<FirstAndRecentKeys>(0, 70));
  const std::vector<float> unmasked = run(nullptr);
  config_.window = 70;
  EXPECT_LT(nmse(masked, run(nullptr)), 1e-12);
  EXPECT_GT(nmse(masked, unmasked), 1e-4) << "the window is crossed";
}

TEST_F(MaskedAttention, FirstKeysThatStayMakeADifferenceOnceTheyHaveLeftTheWindow) {
  const std::vector<float> with = run(std::make_shared<FirstAndRecentKeys>(4, 20));
  const std::vector<float> without = run(std::make_shared<FirstAndRecentKeys>(0, 20));
  const size_t edge = 20 * kModel;
  EXPECT_TRUE(std::equal(with.begin(), with.begin() + edge, without.begin()));
  EXPECT_GT(nmse({with.begin() + edge, with.end()}, {without.begin() + edge, without.end()}), 1e-4);
}

TEST_F(MaskedAttention, SigmoidsOfAWindowCountTheKeysThatTheySee) {
  config_.normaliser = AttentionNormaliser::kSigmoid;
  const std::vector<float> masked = run(std::make_shared<FirstAndRecentKeys>(0, 33));
  config_.window = 33;
  EXPECT_LT(nmse(masked, run(nullptr)), 1e-12);
}

}  // namespace
}  // namespace orrery::testing
