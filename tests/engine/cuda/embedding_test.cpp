#include <bit>

#include "tests/engine/cuda/on_backend.h"
#include "tests/kernels/random_tensors.h"

namespace orrery::testing {
namespace {

class CudaEmbedding : public CudaOperation {
 protected:
  // The backend's result has the CPU's bits.
  void expect_equal(const Operation& operation, const std::string& what) {
    const std::vector<float> expected = operation(*cpu_), got = operation(*backend_);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i]))
          << what << " at " << i << ": " << got[i] << ", " << expected[i];
    }
  }
};

TensorView placed(OnBackend& on, const TensorView& weight) {
  TensorView view = weight;
  view.data = on.input<std::byte>({weight.data, weight.n_bytes()});
  return view;
}

TEST_P(CudaEmbedding, HasTheBitsOfTheCpuForEveryTypeAndSize) {
  const std::vector<int32_t> ids = {6, 0, 6, 3, 1};
  for (const DType dtype : kWeightTypes) {
    const std::vector<int64_t> float_sizes = {1, 3, 33, 256, 288}, block_sizes = {1, 3, 9};
    for (const int64_t size : is_float(dtype) ? float_sizes : block_sizes) {
      const int64_t n_cols = size * dtype_info(dtype).block_size;
      const RandomWeight table(dtype, 7, n_cols, 1);
      for (const float scale : {1.0f, 16.97f}) {
        expect_equal(
            [&](Backend& backend) {
              OnBackend on(backend);
              backend.embed(placed(on, table.view()), ids, scale, on.output(5, n_cols));
              backend.embed(placed(on, table.view()), std::span(ids).first(1), scale, on.output(1, n_cols));
              return on.results();
            },
            std::string(dtype_name(dtype)) + " of " + std::to_string(n_cols));
      }
    }
  }
}

// Every byte of a block takes every value, scales and exponents among them; what is no number may have other bits.
TEST_P(CudaEmbedding, HasTheBitsOfTheCpuForEveryByteOfABlock) {
  for (const DType dtype : kQuantizedTypes) {
    const DTypeInfo& info = dtype_info(dtype);
    std::vector<std::byte> bytes(size_t{256} * info.block_bytes);
    for (size_t b = 0; b < 256; ++b) {
      for (size_t i = 0; i < info.block_bytes; ++i) {
        bytes[b * info.block_bytes + i] = static_cast<std::byte>((b + 151 * i) & 255);
      }
    }
    std::vector<int32_t> ids(256);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
    const TensorView table{.dtype = dtype, .shape = {256, info.block_size}, .data = bytes.data()};
    expect_equal(
        [&](Backend& backend) {
          OnBackend on(backend);
          backend.embed(placed(on, table), ids, 1.0f, on.output(256, info.block_size));
          std::vector<float> values = on.results();
          for (float& value : values) value = std::isnan(value) ? 0.0f : value;
          return values;
        },
        std::string(dtype_name(dtype)));
  }
}

TEST_P(CudaEmbedding, WritesRowsApartAndNothingBetween) {
  const std::vector<int32_t> ids = {2, 1};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    const int64_t n_cols = 256;
    const RandomWeight table(dtype, 3, n_cols, 2);
    expect_equal(
        [&](Backend& backend) {
          OnBackend on(backend);
          backend.embed(placed(on, table.view()), ids, 1.0f, on.output(2, n_cols + 5).cols(3, n_cols));
          return on.results();
        },
        std::string(dtype_name(dtype)));
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaEmbedding);

}  // namespace
}  // namespace orrery::testing
