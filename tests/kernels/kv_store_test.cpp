#include "kernels/kv_store.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

TEST(KvStore, WritesTheLayoutOfThePagesAndNothingElse) {
  for_each_target([] {
    ThreadPool pool(2);
    for (DType dtype : {DType::kF16, DType::kF32}) {
      for (int32_t d_head : {1, 7, 16, 33, 64}) {
        std::vector<float> x = random_floats(size_t{12} * static_cast<size_t>(d_head), 1, 100.0f);
        x[0] = 1e6f;              // infinite as f16
        x[1 % x.size()] = 1e-9f;  // zero as f16
        std::vector<std::byte> got(2 * kv_page_bytes(dtype, 3, d_head), std::byte{0x5a}), expected = got;
        const size_t second = got.size() / 2;
        const auto slots = [&](std::vector<std::byte>& pages) {
          return std::vector<KvSlot>{
              {pages.data(), 0}, {pages.data(), 63}, {pages.data() + second, 17}, {pages.data(), 5}};
        };
        kv_store(Matrix<const float>(x.data(), 4, 3 * d_head), slots(got), dtype, 3, d_head, pool);
        kv_store_reference(Matrix<const float>(x.data(), 4, 3 * d_head), slots(expected), dtype, 3, d_head);
        EXPECT_EQ(got, expected) << dtype_name(dtype) << " " << d_head;
      }
    }
  });
}

}  // namespace
}  // namespace orrery
