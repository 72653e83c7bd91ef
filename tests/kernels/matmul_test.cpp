#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/embedding.h"
#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

// f32 sums of a few thousand products against double: each rounding is 6e-8 relative, so errors stay far below 1e-10 in
// the mean square.
constexpr double kFloatBound = 1e-11;
// Block formats round x to steps of a block's greatest magnitude / 32512: step^2 / 12 is about 1e-9 of the mean square
// of x where that magnitude is 3.5 times the root mean square.
constexpr double kBlockBound = 1e-9;
double bound_of(DType dtype) { return is_quantized(dtype) ? kBlockBound : kFloatBound; }

// Columns of a test's matrix: n, or n of a quantized type's blocks.
int64_t columns(DType dtype, int64_t n) { return is_quantized(dtype) ? n * dtype_info(dtype).block_size : n; }

struct Problem {
  std::vector<float> x;
  RandomWeight weight;
  std::vector<float> bias;
  int64_t n_rows, n_in, n_out;

  Problem(DType dtype, int64_t rows, int64_t in, int64_t out, bool with_bias = false, size_t misalignment = 0)
      : x(random_floats(static_cast<size_t>(rows * in), 1)),
        weight(dtype, out, in, 2, misalignment),
        bias(with_bias ? random_floats(static_cast<size_t>(out), 3) : std::vector<float>()),
        n_rows(rows),
        n_in(in),
        n_out(out) {}

  std::vector<float> run(ThreadPool& pool, int64_t first_row = 0, int64_t count = -1) const {
    if (count < 0) count = n_rows;
    std::vector<float> out(static_cast<size_t>(count * n_out), -7.0f);
    const MatmulTarget target{weight.view(), bias, Matrix<float>(out.data(), count, n_out)};
    MatmulScratch scratch;
    matmul(Matrix<const float>(x.data() + first_row * n_in, count, n_in), {&target, 1}, scratch, pool);
    return out;
  }

  std::vector<float> reference() const {
    std::vector<float> out(static_cast<size_t>(n_rows * n_out));
    matmul_reference(Matrix<const float>(x.data(), n_rows, n_in),
                     {weight.view(), bias, Matrix<float>(out.data(), n_rows, n_out)});
    return out;
  }
};

std::string name(DType dtype, int64_t rows, int64_t in, int64_t out) {
  return std::string(dtype_name(dtype)) + " " + std::to_string(rows) + "x" + std::to_string(in) + "x" +
         std::to_string(out);
}

TEST(Matmul, FloatWeightsMatchTheReferenceAtEverySize) {
  for_each_target([] {
    ThreadPool pool(1);
    for (DType dtype : kFloatTypes) {
      for (int64_t in = 1; in <= 33; ++in) {
        const Problem problem(dtype, 1 + in % 6, in, 1 + in * 7 % 37, in % 2 == 1);
        EXPECT_LT(nmse(problem.run(pool), problem.reference()), bound_of(dtype))
            << name(dtype, problem.n_rows, in, problem.n_out);
      }
      const Problem large(dtype, 9, 577, 70);
      EXPECT_LT(nmse(large.run(pool), large.reference()), bound_of(dtype)) << dtype_name(dtype);
    }
  });
}

// The least values m of a weight's elements: what they are once the bytes of the elements are zero.
std::vector<float> least_values(const TensorView& weight, int64_t row) {
  const DTypeInfo& info = dtype_info(weight.dtype);
  std::vector<float> values(static_cast<size_t>(weight.n_cols()), 0.0f);
  size_t begin = 16, end = info.block_bytes;
  switch (weight.dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
      begin = 4;
      break;
    case DType::kQ2_K:
      end = 80;
      break;
    case DType::kQ4_K:
    case DType::kQ5_K:
      break;
    default:
      return values;
  }
  std::vector<std::byte> bytes(weight.row(row), weight.row(row) + row_bytes(weight.dtype, values.size()));
  for (size_t block = 0; block < bytes.size(); block += info.block_bytes) {
    std::fill(bytes.begin() + static_cast<ptrdiff_t>(block + begin),
              bytes.begin() + static_cast<ptrdiff_t>(block + end), std::byte{0});
  }
  dequantize_row({weight.dtype, Shape({1, weight.n_cols()}), bytes.data()}, 0, values);
  return values;
}

// What matmul.h states of quantized weights, for one output.
double stated_bound(const TensorView& weight, int64_t output, const float* x) {
  std::vector<float> w(static_cast<size_t>(weight.n_cols()));
  dequantize_row(weight, output, w);
  const std::vector<float> m = least_values(weight, output);
  double of_x = 0.0, of_sums = 0.0;
  for (size_t block = 0; block < w.size(); block += 32) {
    double greatest = 0.0, weights = 0.0;
    for (size_t i = block; i < block + 32; ++i) {
      greatest = std::max(greatest, std::fabs(double{x[i]}));
      weights += std::fabs(w[i]);
      of_sums += (std::fabs(w[i]) + 2.0 * std::fabs(m[i])) * std::fabs(x[i]);
    }
    of_x += greatest / 63000.0 * weights;
  }
  return of_x + (static_cast<double>(w.size()) / 8.0 + 4.0) * std::ldexp(of_sums, -24);
}

// Every output against float64.
void expect_within_stated_bound(const Problem& problem, ThreadPool& pool) {
  const std::vector<float> got = problem.run(pool);
  std::vector<float> w(static_cast<size_t>(problem.n_in));
  for (int64_t o = 0; o < problem.n_out; ++o) {
    dequantize_row(problem.weight.view(), o, w);
    for (int64_t r = 0; r < problem.n_rows; ++r) {
      const float* x = problem.x.data() + r * problem.n_in;
      double exact = problem.bias.empty() ? 0.0 : double{problem.bias[static_cast<size_t>(o)]};
      const double rounding = std::ldexp(std::fabs(exact), -23);
      for (size_t i = 0; i < w.size(); ++i) exact += double{x[i]} * w[i];
      EXPECT_NEAR(got[static_cast<size_t>(r * problem.n_out + o)], exact,
                  rounding + stated_bound(problem.weight.view(), o, x))
          << name(problem.weight.view().dtype, problem.n_rows, problem.n_in, problem.n_out) << " row " << r
          << " output " << o;
    }
  }
}

TEST(Matmul, BlockWeightsMatchTheReferenceAtEverySize) {
  for_each_target([] {
    ThreadPool pool(1);
    for (DType dtype : kQuantizedTypes) {
      for (int64_t out = 1; out <= 34; ++out) {
        const Problem problem(dtype, 1 + out % 15, columns(dtype, 1 + out % 3), out, out % 2 == 1);
        expect_within_stated_bound(problem, pool);
      }
      const Problem large(dtype, 19, 1536, 50);
      EXPECT_LT(nmse(large.run(pool), large.reference()), bound_of(dtype)) << dtype_name(dtype);
    }
  });
}

TEST(Matmul, WeightsMayLieAtOddAddresses) {
  for_each_target([] {
    ThreadPool pool(1);
    for (DType dtype : kWeightTypes) {
      for (size_t misalignment : {1u, 2u, 6u}) {
        const Problem problem(dtype, 5, is_float(dtype) ? 97 : columns(dtype, 3), 21, false, misalignment);
        EXPECT_LT(nmse(problem.run(pool), problem.reference()), bound_of(dtype))
            << dtype_name(dtype) << " + " << misalignment;
      }
    }
  });
}

TEST(Matmul, BlockWeightsStayWithinTheStatedBoundForUnevenRows) {
  for_each_target([] {
    ThreadPool pool(1);
    for (DType dtype : kQuantizedTypes) {
      for (const float spread : {1.0f, 1e-6f, 1e4f}) {
        Problem problem(dtype, 6, 1536, 21);
        for (size_t i = 0; i < problem.x.size(); ++i) problem.x[i] *= i % 41 == 0 ? 30.0f * spread : spread;
        expect_within_stated_bound(problem, pool);
      }
    }
  });
}

TEST(Matmul, ExtremeBlockValuesNeitherSaturateNorOverflow) {
  for_each_target([] {
    ThreadPool pool(1);
    for (DType dtype : kQuantizedTypes) {
      const int64_t n_in = columns(dtype, 2);
      for (unsigned char fill : {0x00, 0x7f, 0x80, 0x81, 0xff}) {
        std::vector<std::byte> bytes(16 * row_bytes(dtype, static_cast<size_t>(n_in)), std::byte{fill});
        for (size_t b = 0; b < bytes.size(); b += dtype_info(dtype).block_bytes) {
          set_scales(dtype, bytes.data() + b, 1.0f, 0.0f);
        }
        for (float sign : {1.0f, -1.0f}) {
          std::vector<float> x(static_cast<size_t>(n_in), sign * 2.0f);
          for (size_t i = 0; i < x.size(); i += 3) x[i] *= 0.99609375f;  // both bytes of the rounded x far from zero
          std::vector<float> out(16), expected(16);
          MatmulTarget target{{dtype, Shape({16, n_in}), bytes.data()}, {}, Matrix<float>(out.data(), 1, 16)};
          MatmulScratch scratch;
          matmul(Matrix<const float>(x.data(), 1, n_in), {&target, 1}, scratch, pool);
          target.out = Matrix<float>(expected.data(), 1, 16);
          matmul_reference(Matrix<const float>(x.data(), 1, n_in), target);
          EXPECT_LT(nmse(out, expected), bound_of(dtype)) << dtype_name(dtype) << " of " << int{fill};
        }
      }
    }
  });
}

TEST(Matmul, RowsDoNotDependOnTheBatch) {
  for_each_target([] {
    ThreadPool pool(1);
    for (DType dtype : kWeightTypes) {
      const Problem problem(dtype, 23, is_float(dtype) ? 161 : columns(dtype, 3), 35);
      const std::vector<float> all = problem.run(pool);
      for (int64_t count : {1, 2, 3, 4, 5, 8, 13}) {
        const std::vector<float> some = problem.run(pool, 6, count);
        for (size_t i = 0; i < some.size(); ++i) {
          ASSERT_EQ(some[i], all[static_cast<size_t>(6 * problem.n_out) + i]) << dtype_name(dtype) << " " << count;
        }
      }
    }
  });
}

TEST(Matmul, ResultsAreBitIdenticalForAnyNumberOfThreads) {
  for (DType dtype : kWeightTypes) {
    for (int64_t rows : {1, 33}) {
      const Problem problem(dtype, rows, 768, 333);
      ThreadPool one(1), two(2), three(3);
      const std::vector<float> expected = problem.run(one);
      EXPECT_EQ(problem.run(two), expected) << dtype_name(dtype);
      EXPECT_EQ(problem.run(three), expected) << dtype_name(dtype);
    }
  }
}

TEST(Matmul, TargetsOfSeveralTypesShareX) {
  for_each_target([] {
    ThreadPool pool(2);
    const Problem a(DType::kQ4_1, 7, 96, 35), b(DType::kF16, 7, 96, 18), c(DType::kQ8_0, 7, 96, 5);
    std::vector<float> out(7 * (35 + 18 + 5));  // one matrix whose columns are split among the targets
    const Matrix<float> whole(out.data(), 7, 58);
    const MatmulTarget targets[] = {{a.weight.view(), {}, whole.cols(0, 35)},
                                    {b.weight.view(), {}, whole.cols(35, 18)},
                                    {c.weight.view(), {}, whole.cols(53, 5)}};
    MatmulScratch scratch;
    matmul(Matrix<const float>(a.x.data(), 7, 96), targets, scratch, pool);
    const std::vector<float> parts[] = {a.run(pool), b.run(pool), c.run(pool)};
    for (int64_t r = 0; r < 7; ++r) {
      for (int64_t i = 0; i < 58; ++i) {
        const float expected = i < 35   ? parts[0][static_cast<size_t>(r * 35 + i)]
                               : i < 53 ? parts[1][static_cast<size_t>(r * 18 + i - 35)]
                                        : parts[2][static_cast<size_t>(r * 5 + i - 53)];
        ASSERT_EQ(whole.row(r)[i], expected) << r << " " << i;
      }
    }
  });
}

TEST(Matmul, ScratchServesSmallerAndLargerCallsInTurn) {
  ThreadPool pool(1);
  MatmulScratch scratch;
  for (int64_t rows : {9, 1, 30, 2}) {
    const Problem problem(DType::kQ4_0, rows, 32 * (1 + rows % 3), 20);
    std::vector<float> out(static_cast<size_t>(rows * 20));
    const MatmulTarget target{problem.weight.view(), {}, Matrix<float>(out.data(), rows, 20)};
    matmul(Matrix<const float>(problem.x.data(), rows, problem.n_in), {&target, 1}, scratch, pool);
    EXPECT_EQ(out, problem.run(pool)) << rows;
  }
}

TEST(Matmul, ZeroAndTinyRowsGiveZero) {
  for_each_target([] {
    ThreadPool pool(1);
    for (float value : {0.0f, 1e-42f}) {
      Problem problem(DType::kQ8_0, 2, 64, 16);
      problem.x.assign(problem.x.size(), value);
      for (float out : problem.run(pool)) EXPECT_NEAR(out, 0.0f, 1e-30f);
    }
  });
}

TEST(Matmul, NotANumberShowsInItsRowOnly) {
  for_each_target([] {
    ThreadPool pool(1);
    for (DType dtype : kWeightTypes) {
      for (const float broken : {std::nanf(""), HUGE_VALF}) {
        Problem problem(dtype, 6, 512, 20);
        problem.x[2 * 512 + 37] = broken;
        const std::vector<float> out = problem.run(pool);
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(std::isfinite(out[i]), i / 20 != 2) << dtype_name(dtype) << " " << i;
        }
      }
    }
  });
}

}  // namespace
}  // namespace orrery
