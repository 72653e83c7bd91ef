#include "kernels/expert_matmul.h"

#include <algorithm>
#include <numeric>

#include "kernels/embedding.h"
#include "tests/engine/cuda/on_backend.h"
#include "tests/kernels/random_tensors.h"

namespace orrery::testing {
namespace {

// Relative to sum (w x)^2, against float64: float32 sums in another order, each rounding 6e-8 of a part of the sum;
// formats with least values add up two sums that are larger than their own.
constexpr double kMost = 1e-12;

struct Sizes {
  int64_t n_rows;
  int32_t n_chosen;
  int32_t n_experts;
  int64_t n_out;
};

// Random experts, none of which a row chooses twice.
std::vector<int32_t> chosen(const Sizes& sizes, std::mt19937& generator) {
  std::vector<int32_t> experts(static_cast<size_t>(sizes.n_experts)), all;
  std::iota(experts.begin(), experts.end(), 0);
  for (int64_t r = 0; r < sizes.n_rows; ++r) {
    std::shuffle(experts.begin(), experts.end(), generator);
    all.insert(all.end(), experts.begin(), experts.begin() + sizes.n_chosen);
  }
  return all;
}

class CudaExpertMatmul : public CudaOperation {
 protected:
  struct Problem {
    Sizes sizes;
    int64_t n_in;
    bool has_row_per_choice;
    RandomWeight weight;           // all experts' one after another
    std::vector<float> x, biases;  // biases [n_experts, n_out] or empty
    std::vector<int32_t> experts;
    bool lie_apart = false;
    bool in_turn = false;  // the routes name no experts

    int64_t n_choices() const { return sizes.n_rows * sizes.n_chosen; }
    int64_t n_x_rows() const { return has_row_per_choice ? n_choices() : sizes.n_rows; }
    const float* x_of(int64_t choice) const {
      return x.data() + (has_row_per_choice ? choice : choice / sizes.n_chosen) * n_in;
    }

    // `n_products` times the same. Weights are parts of one tensor, as most files have them, or lie apart.
    std::vector<float> on(Backend& backend, size_t n_products) const {
      OnBackend on(backend);
      const TensorView& all = weight.view();
      const size_t n_bytes = all.n_bytes() / static_cast<size_t>(sizes.n_experts);
      const auto* data = lie_apart ? nullptr : on.input<std::byte>({all.data, all.n_bytes()});
      const float* bias_data = biases.empty() ? nullptr : on.input<float>(biases);
      std::vector<TensorView> weights, bias_views;
      for (int32_t e = 0; e < sizes.n_experts; ++e) {
        const size_t at = static_cast<size_t>(e) * n_bytes;
        const auto* own = lie_apart ? on.input<std::byte>({all.data + at, n_bytes}) : data + at;
        weights.push_back({all.dtype, {sizes.n_out, n_in}, own});
        if (biases.empty()) continue;
        bias_views.push_back(
            {DType::kF32, {sizes.n_out}, reinterpret_cast<const std::byte*>(bias_data + e * sizes.n_out)});
      }
      const Routes routes{.experts = in_turn ? nullptr : const_cast<int32_t*>(on.input<int32_t>(experts)),
                          .weights = nullptr,
                          .n_rows = sizes.n_rows,
                          .n_chosen = sizes.n_chosen};
      std::vector<ExpertProduct> products;
      for (size_t i = 0; i < n_products; ++i) {
        products.push_back({weights, bias_views, on.output(n_choices(), sizes.n_out + 3).cols(1, sizes.n_out)});
      }
      backend.expert_matmul(on.matrix(x, n_x_rows(), n_in), routes, products);
      return on.results();
    }

    std::string name() const {
      return std::string(dtype_name(weight.view().dtype)) + ": " + std::to_string(sizes.n_rows) + " rows of " +
             std::to_string(n_in) + ", " + std::to_string(sizes.n_chosen) + " of " + std::to_string(sizes.n_experts) +
             " experts, " + std::to_string(sizes.n_out) + " outputs";
    }
  };

  Problem problem(DType dtype, const Sizes& sizes, int64_t n_in, bool has_row_per_choice, bool has_bias) {
    Problem p{.sizes = sizes,
              .n_in = n_in,
              .has_row_per_choice = has_row_per_choice,
              .weight = RandomWeight(dtype, sizes.n_experts * sizes.n_out, n_in, static_cast<uint32_t>(n_in)),
              .x = {},
              .biases = random(has_bias ? sizes.n_experts * sizes.n_out : 0),
              .experts = chosen(sizes, random_),
              .lie_apart = n_in % 3 == 0};  // of each type some do
    p.x = random(p.n_x_rows() * n_in);
    return p;
  }

  void expect_right(const Problem& p, size_t n_products = 1) {
    const std::vector<float> got = p.on(*backend_, n_products);
    const int64_t stride = p.sizes.n_out + 3;
    std::vector<float> w(static_cast<size_t>(p.n_in));
    double error = 0.0, power = 0.0;
    for (int64_t choice = 0; choice < p.n_choices(); ++choice) {
      const int32_t expert = p.experts[static_cast<size_t>(choice)];
      for (int64_t o = -1; o < p.sizes.n_out + 2; ++o) {
        double expected = 0.0;
        if (o >= 0 && o < p.sizes.n_out) {
          if (!p.biases.empty()) expected = double{p.biases[static_cast<size_t>(expert * p.sizes.n_out + o)]};
          dequantize_row(p.weight.view(), expert * p.sizes.n_out + o, w);
          for (int64_t i = 0; i < p.n_in; ++i) {
            const double term = double{w[static_cast<size_t>(i)]} * double{p.x_of(choice)[i]};
            expected += term;
            power += term * term;
          }
        }
        for (size_t product = 0; product < n_products; ++product) {
          const auto at =
              static_cast<size_t>((static_cast<int64_t>(product) * p.n_choices() + choice) * stride + o + 1);
          error = std::max(error, (double{got[at]} - expected) * (double{got[at]} - expected));
        }
      }
    }
    // The worst of all against their mean.
    EXPECT_LE(error, 100.0 * kMost * power / static_cast<double>(p.n_choices() * p.sizes.n_out)) << p.name();
  }
};

TEST_P(CudaExpertMatmul, EqualsFloat64ForAllTypesOfWeights) {
  for (const DType dtype : kWeightTypes) {
    const int64_t block = dtype_info(dtype).block_size;
    const int64_t n_in = is_float(dtype) ? 33 : block == 32 ? 96 : 512;
    expect_right(problem(dtype, {1, 3, 5, 7}, n_in, false, true));
    expect_right(problem(dtype, {13, 2, 4, 5}, n_in, false, false));
    if (is_float(dtype)) expect_right(problem(dtype, {13, 2, 4, 6}, 64, true, true));
  }
}

TEST_P(CudaExpertMatmul, EveryNumberOfRowsIsRight) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    for (const int64_t n_rows : {1, 2, 3, 5, 8, 9, 31, 70}) {
      expect_right(problem(dtype, {n_rows, 2, 3, 9}, 256, n_rows % 2 == 0, n_rows % 3 == 0));
    }
  }
}

// Experts that nobody or everybody chose, more experts than rows, and one for all.
TEST_P(CudaExpertMatmul, AnyShareOfExpertsIsRight) {
  for (const Sizes& sizes : {Sizes{40, 1, 1, 3}, Sizes{3, 4, 4, 65}, Sizes{11, 1, 130, 2}, Sizes{17, 5, 64, 67}}) {
    expect_right(problem(DType::kF16, sizes, 40, false, true));
    expect_right(problem(DType::kQ4_0, sizes, 64, true, false));
  }
}

TEST_P(CudaExpertMatmul, ProductsShareTheirInput) {
  expect_right(problem(DType::kQ5_1, {1, 4, 6, 10}, 64, false, true), 2);
  expect_right(problem(DType::kF32, {19, 2, 6, 10}, 35, true, true), 5);
}

TEST_P(CudaExpertMatmul, RoutesThatNameNoExpertsTakeThemInTurn) {
  for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
    for (const int64_t n_rows : {1, 3, 30}) {
      Problem heads = problem(dtype, {n_rows, 5, 5, 6}, 32, true, false);
      for (size_t choice = 0; choice < heads.experts.size(); ++choice) {
        heads.experts[choice] = static_cast<int32_t>(choice % 5);
      }
      heads.in_turn = true;
      expect_right(heads);
    }
  }
}

// Decoding in steps gives the bits of a small batch.
TEST_P(CudaExpertMatmul, ARowDoesNotDependOnTheRowsBesideIt) {
  for (const DType dtype : {DType::kF16, DType::kQ6_K}) {
    const Problem all = problem(dtype, {3, 2, 5, 8}, 512, false, true);
    const std::vector<float> together = all.on(*backend_, 1);
    for (int64_t row = 0; row < 3; ++row) {
      Problem one = all;
      one.sizes.n_rows = 1;
      one.x.assign(all.x.begin() + row * all.n_in, all.x.begin() + (row + 1) * all.n_in);
      one.experts.assign(all.experts.begin() + row * 2, all.experts.begin() + (row + 1) * 2);
      const auto* expected = together.data() + row * 2 * 11;
      EXPECT_EQ(one.on(*backend_, 1), std::vector<float>(expected, expected + 2 * 11)) << one.name();
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaExpertMatmul);

}  // namespace
}  // namespace orrery::testing
