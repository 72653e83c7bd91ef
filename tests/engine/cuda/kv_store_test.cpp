#include "kernels/kv_store.h"

#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

class CudaKvStore : public CudaOperation {};

// Pages are read back as bytes through copies into an output; nothing is computed, so they must be equal.
TEST_P(CudaKvStore, WritesTheBytesThatTheCpuWritesAndNothingElse) {
  constexpr int32_t kHeads = 3;
  const std::vector<int64_t> positions = {0, 63, 64 + 17, 5 * 64 + 5};
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    for (const int32_t d_head : {1, 7, 16, 42, 131}) {
      const auto n = static_cast<int64_t>(positions.size());
      std::vector<float> x = random(n * kHeads * d_head, 100.0f);
      x[0] = 1e6f;   // infinite as f16
      x[1] = 1e-9f;  // zero as f16
      x[2] = 3e-6f;  // subnormal as f16
      const auto page_bytes = kv_page_bytes(dtype, kHeads, d_head);
      const auto operation = [&](Backend& backend) {
        OnBackend on(backend);
        std::byte* const pages[] = {on.zeroed(page_bytes), on.zeroed(page_bytes)};
        std::byte* const of_rows[] = {pages[0], pages[0], pages[1], pages[0]};
        backend.store_kv(on.matrix(x, n, kHeads * d_head), positions, of_rows, dtype, kHeads, d_head);
        const auto n_floats = static_cast<int64_t>(page_bytes / sizeof(float));
        for (std::byte* page : pages) {
          backend.copy(reinterpret_cast<std::byte*>(on.output(1, n_floats).data), page, page_bytes);
        }
        return on.results();
      };
      const std::vector<float> expected = operation(*cpu_), got = operation(*backend_);
      ASSERT_EQ(got.size(), expected.size());
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
          << dtype_name(dtype) << ", heads of " << d_head;
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaKvStore);

}  // namespace
}  // namespace orrery::testing
