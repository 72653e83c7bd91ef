#include "kernels/rope.h"

#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// Both turn by the numbers of one table; two products and a sum: a few roundings of 6e-8.
constexpr double kMost = 1e-13;

class CudaRope : public CudaOperation {
 protected:
  // x [n_rows, n_heads * d_head] after the turns; it is turned where it lies, so a copy of it is brought.
  static std::vector<float> turned(Backend& backend, const std::vector<float>& x, const std::vector<int64_t>& positions,
                                   int64_t length, const RopeConfig& rope, int32_t d_head) {
    OnBackend on(backend);
    const auto n_rows = static_cast<int64_t>(positions.size()), n_cols = static_cast<int64_t>(x.size()) / n_rows;
    const Matrix<float> out = on.output(n_rows, n_cols);
    backend.copy(reinterpret_cast<std::byte*>(out.data),
                 reinterpret_cast<const std::byte*>(on.input(std::span<const float>(x))), x.size() * sizeof(float));
    backend.rope(out, positions, length, rope, d_head);
    return on.results();
  }
  static RopeConfig config(int64_t n_pairs, RopePairing pairing) {
    RopeConfig rope;
    rope.pairing = pairing;
    rope.magnitude = 1.25f;
    for (int64_t i = 0; i < n_pairs; ++i) {
      rope.inverse_frequencies.push_back(std::pow(10000.0f, -static_cast<float>(i) / static_cast<float>(n_pairs)));
    }
    return rope;
  }
};

TEST_P(CudaRope, EqualsTheCpuAtOddSizes) {
  const std::vector<int64_t> positions = {0, 1, 77, 1000003};
  for (const RopePairing pairing : {RopePairing::kHalfSplit, RopePairing::kAdjacent}) {
    for (const int64_t n_pairs : {1, 3, 16, 33, 129}) {
      for (const int32_t left : {0, 5}) {  // dimensions that do not turn
        const int32_t d_head = static_cast<int32_t>(2 * n_pairs) + left;
        const std::vector<float> x = random(int64_t{4} * 3 * d_head);
        const RopeConfig rope = config(n_pairs, pairing);
        expect_alike([&](Backend& backend) { return turned(backend, x, positions, 1000004, rope, d_head); }, kMost);
      }
    }
  }
}

TEST_P(CudaRope, DimensionsThatDoNotTurnStayAsTheyAre) {
  const RopeConfig rope = config(2, RopePairing::kHalfSplit);
  const std::vector<float> x = random(2 * 7);
  const std::vector<float> got = turned(*backend_, x, {5}, 6, rope, 7);
  for (const size_t head : {0, 1}) {
    for (size_t i = 0; i < 7; ++i) EXPECT_EQ(got[head * 7 + i] == x[head * 7 + i], i >= 4) << i;
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaRope);

}  // namespace
}  // namespace orrery::testing
