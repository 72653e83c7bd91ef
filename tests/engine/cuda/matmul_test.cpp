#include "kernels/matmul.h"

#include <array>
#include <cmath>

#include "kernels/embedding.h"
#include "tests/engine/cuda/on_backend.h"
#include "tests/kernels/random_tensors.h"

namespace orrery::testing {
namespace {

// Errors are taken relative to sum (w x)^2 over all products: the mean square that sums of such products have where
// signs are random. The sums themselves may happen to cancel.
// Against float64: float32 sums in another order, each rounding 6e-8 of a part of the sum. Formats with least values
// add up two sums that are larger than their own.
constexpr double kSumBound = 1e-12;
// Against the CPU, which rounds x to steps of a block's greatest magnitude / 32512 for block formats: step^2 / 12 is
// about 1e-9 of the mean square of x where that magnitude is 3.5 times the root mean square.
constexpr double kBlockBound = 2e-9;

TensorView placed(OnBackend& on, const TensorView& weight) {
  TensorView view = weight;
  view.data = on.input<std::byte>({weight.data, weight.n_bytes()});
  return view;
}

TensorView vector_view(OnBackend& on, std::span<const float> values) {
  if (values.empty()) return {};
  return {.dtype = DType::kF32,
          .shape = {static_cast<int64_t>(values.size())},
          .data = reinterpret_cast<const std::byte*>(on.input(values))};
}

// Sizes that are odd for floats, and whole blocks otherwise.
std::vector<int64_t> widths(DType dtype) {
  if (is_float(dtype)) return {1, 33, 256, 1100};
  const int64_t block = dtype_info(dtype).block_size;
  if (block == 32) return {32, 288, 1120};
  return {256, 1280};
}

class CudaMatmul : public CudaOperation {
 protected:
  struct Problem {
    RandomWeight weight;
    std::vector<float> x, bias;
    int64_t n_rows, n_in, n_out;

    std::vector<float> on(Backend& backend) const { return rows_on(backend, 0, n_rows); }
    std::vector<float> rows_on(Backend& backend, int64_t first, int64_t count) const {
      OnBackend on(backend);
      const Product product{placed(on, weight.view()), vector_view(on, bias), on.output(count, n_out)};
      const std::span<const float> rows =
          std::span(x).subspan(static_cast<size_t>(first * n_in), static_cast<size_t>(count * n_in));
      backend.matmul(on.matrix(rows, count, n_in), {&product, 1});
      return on.results();
    }
    std::vector<float> reference() const {
      std::vector<float> out(static_cast<size_t>(n_rows * n_out));
      matmul_reference({x.data(), n_rows, n_in}, {weight.view(), bias, {out.data(), n_rows, n_out}});
      return out;
    }
    // sum (w x)^2
    double power() const {
      std::vector<float> w(static_cast<size_t>(n_in));
      double sum = 0.0;
      for (int64_t o = 0; o < n_out; ++o) {
        dequantize_row(weight.view(), o, w);
        for (size_t i = 0; i < x.size(); ++i) sum += std::pow(double{w[i % w.size()]} * x[i], 2);
      }
      return sum;
    }
    std::string name() const {
      return std::string(dtype_name(weight.view().dtype)) + ": " + std::to_string(n_rows) + " rows, " +
             std::to_string(n_in) + " to " + std::to_string(n_out);
    }
  };

  Problem problem(DType dtype, int64_t n_rows, int64_t n_in, int64_t n_out, bool with_bias) {
    return {.weight = RandomWeight(dtype, n_out, n_in, static_cast<uint32_t>(n_in + n_out)),
            .x = random(n_rows * n_in),
            .bias = with_bias ? random(n_out) : std::vector<float>(),
            .n_rows = n_rows,
            .n_in = n_in,
            .n_out = n_out};
  }

  static double squared_distance(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0.0;
    for (size_t i = 0; i < b.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    return sum;
  }

  void expect_right(const Problem& problem) {
    const std::vector<float> got = problem.on(*backend_);
    const double power = problem.power();
    EXPECT_LE(squared_distance(got, problem.reference()) / power, kSumBound) << problem.name();
    const double bound = is_quantized(problem.weight.view().dtype) ? kBlockBound : 2 * kSumBound;
    EXPECT_LE(squared_distance(got, problem.on(*cpu_)) / power, bound) << problem.name();
  }
};

TEST_P(CudaMatmul, EqualsTheCpuAndFloat64AtOddSizes) {
  for (const DType dtype : kWeightTypes) {
    constexpr std::array<int64_t, 5> kRows = {1, 17, 3, 9, 2};  // every size meets other ones
    size_t next = 0;
    for (const int64_t n_in : widths(dtype)) {
      for (const int64_t n_out : {1, 7, 65}) {
        expect_right(problem(dtype, kRows[next++ % kRows.size()], n_in, n_out, n_out != 7));
      }
    }
  }
}

TEST_P(CudaMatmul, EveryNumberOfRowsIsRight) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K}) {
    for (const int64_t n_rows : {1, 2, 3, 4, 5, 7, 8, 9, 17}) expect_right(problem(dtype, n_rows, 512, 3, true));
  }
}

TEST_P(CudaMatmul, ARowDoesNotDependOnTheRowsBesideIt) {
  for (const DType dtype : {DType::kF16, DType::kQ4_1, DType::kQ5_K}) {
    const Problem all = problem(dtype, 7, 1280, 5, true);
    const std::vector<float> together = all.on(*backend_);
    for (int64_t row = 0; row < 7; ++row) {
      const auto* expected = together.data() + row * 5;
      EXPECT_EQ(all.rows_on(*backend_, row, 1), std::vector<float>(expected, expected + 5)) << all.name() << " " << row;
    }
  }
}

// x begins and continues at addresses of four bytes; the columns beside `out` stay as they are.
TEST_P(CudaMatmul, RowsMayLieApart) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ4_0, DType::kQ3_K}) {
    for (const int64_t n_rows : {1, 3, 11}) {
      const int64_t n_in = 256, n_out = 9;
      const Problem inner = problem(dtype, n_rows, n_in, n_out, true);
      std::vector<float> wide(static_cast<size_t>(n_rows * (n_in + 3)), std::nanf(""));
      for (int64_t r = 0; r < n_rows; ++r) {
        std::copy_n(inner.x.data() + r * n_in, n_in, wide.data() + r * (n_in + 3) + 1);
      }
      OnBackend on(*backend_);
      const Product product{placed(on, inner.weight.view()), vector_view(on, inner.bias),
                            on.output(n_rows, n_out + 4).cols(2, n_out)};
      backend_->matmul(on.matrix(wide, n_rows, n_in + 3).cols(1, n_in), {&product, 1});
      const std::vector<float> got = on.results(), expected = inner.on(*backend_);
      for (int64_t r = 0; r < n_rows; ++r) {
        for (int64_t i = 0; i < n_out + 4; ++i) {
          const bool beside = i < 2 || i >= n_out + 2;
          EXPECT_EQ(got[static_cast<size_t>(r * (n_out + 4) + i)],
                    beside ? 0.0f : expected[static_cast<size_t>(r * n_out + i - 2)])
              << inner.name() << " at " << r << ", " << i;
        }
      }
    }
  }
}

// Neighbours of one type share a launch, up to four; others begin one.
TEST_P(CudaMatmul, ProductsOfOneInputAreThoseOfEachAlone) {
  const int64_t n_in = 256;
  constexpr DType kTypes[] = {DType::kQ8_0, DType::kQ8_0, DType::kQ6_K, DType::kF32,  DType::kF32,
                              DType::kF32,  DType::kF32,  DType::kF32,  DType::kBF16, DType::kQ8_0};
  for (const int64_t n_rows : {1, 3, 9}) {
    std::vector<Problem> problems;
    const std::vector<float> x = random(n_rows * n_in);
    for (const DType dtype : kTypes) {
      const auto n_out = static_cast<int64_t>(1 + problems.size() * 3 % 8);
      problems.push_back(problem(dtype, n_rows, n_in, n_out, problems.size() % 2 == 0));
      problems.back().x = x;
    }
    OnBackend on(*backend_);
    std::vector<Product> products;
    for (const Problem& one : problems) {
      products.push_back({placed(on, one.weight.view()), vector_view(on, one.bias), on.output(n_rows, one.n_out)});
    }
    backend_->matmul(on.matrix(x, n_rows, n_in), products);
    const std::vector<float> got = on.results();
    auto from = got.begin();
    for (const Problem& one : problems) {
      const auto to = from + n_rows * one.n_out;
      EXPECT_LE(squared_distance({from, to}, one.reference()) / one.power(), kSumBound) << one.name();
      from = to;
    }
  }
}

class CudaMatmulSlow : public CudaMatmul {};

// More weights than are dequantized at once.
TEST_P(CudaMatmulSlow, ManyRowsTimesALargeMatrixGoInPieces) {
  expect_right(problem(DType::kQ4_K, 9, int64_t{1} << 18, 65, true));
}

ORRERY_CUDA_OPERATION_TESTS(CudaMatmul);
ORRERY_CUDA_OPERATION_TESTS(CudaMatmulSlow);

}  // namespace
}  // namespace orrery::testing
