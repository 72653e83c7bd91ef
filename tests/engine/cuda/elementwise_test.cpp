#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// The CPU's exponentials are good to 2e-7 (relative), as are CUDA's: squared, and some for the arithmetic around them.
constexpr double kMost = 1e-12;

constexpr Activation kActivations[] = {Activation::kSilu,        Activation::kGeluTanh, Activation::kGelu,
                                       Activation::kReluSquared, Activation::kSigmoid,  Activation::kIdentity};
struct Size {
  int64_t n_rows;
  int64_t n_cols;
};
constexpr Size kSizes[] = {{1, 1}, {1, 31}, {3, 257}, {2, 1000}, {5, 7}};

class CudaElementwise : public CudaOperation {};

TEST_P(CudaElementwise, ActivationsEqualTheCpus) {
  for (const Activation activation : kActivations) {
    for (const Size& size : kSizes) {
      const std::vector<float> x = random(size.n_rows * size.n_cols, 3.0f);
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            backend.activate(activation, on.matrix(x, size.n_rows, size.n_cols), on.output(size.n_rows, size.n_cols));
            std::vector<float> results = on.results();
            // Far below zero 1 + tanh and 1 + erf cancel: what is left is right relative to the argument.
            results.insert(results.end(), x.begin(), x.end());
            return results;
          },
          kMost);
    }
  }
}

TEST_P(CudaElementwise, ActivationsAreTheirLimitsFarFromZero) {
  const std::vector<float> x = {-1e30f, -200.0f, -88.0f, -20.0f, -0.0f, 0.0f, 1e-30f, 20.0f, 88.0f, 200.0f, 1e18f};
  for (const Activation activation : kActivations) {
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          backend.activate(activation, on.matrix(x, static_cast<int64_t>(x.size()), 1),
                           on.output(static_cast<int64_t>(x.size()), 1));
          std::vector<float> results = on.results();
          for (float& result : results) {
            if (std::fabs(result) > 1e3f) result = 1e3f;  // as large as its argument, or its square
            EXPECT_FALSE(std::isnan(result));
          }
          return results;
        },
        kMost);
  }
}

TEST_P(CudaElementwise, GatedProductsEqualTheCpusAlsoInPlace) {
  for (const Activation activation : kActivations) {
    for (const Size& size : kSizes) {
      const std::vector<float> both = random(size.n_rows * 2 * size.n_cols, 2.0f);
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            // As the feed-forward has them: gate and up side by side in one matrix, the result in its own.
            const Matrix<const float> gate_up = on.matrix(both, size.n_rows, 2 * size.n_cols);
            const Matrix<float> out = on.output(size.n_rows, size.n_cols);
            backend.activate_multiply(activation, gate_up.cols(0, size.n_cols), gate_up.cols(size.n_cols, size.n_cols),
                                      out);
            backend.activate_multiply(activation, out, gate_up.cols(0, size.n_cols), out);
            return on.results();
          },
          kMost);
    }
  }
}

// A matrix whose rows lie on each other: one gate for all rows.
TEST_P(CudaElementwise, ARowIsMultipliedWithAllRows) {
  for (const Size& size : kSizes) {
    const std::vector<float> gate = random(size.n_cols), x = random(size.n_rows * size.n_cols);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const Matrix<float> out = on.output(size.n_rows, size.n_cols);
          const Matrix<const float> gates(on.matrix(gate, 1, size.n_cols).data, size.n_rows, size.n_cols, 0);
          backend.activate_multiply(Activation::kIdentity, gates, on.matrix(x, size.n_rows, size.n_cols), out);
          return on.results();
        },
        0.0);
  }
}

TEST_P(CudaElementwise, ClippedProductsEqualTheCpusAlsoInPlace) {
  for (const Size& size : kSizes) {
    const std::vector<float> gate = random(size.n_rows * size.n_cols, 6.0f);
    const std::vector<float> up = random(size.n_rows * size.n_cols, 6.0f);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const ClippedGate clipped{.limit = 5.0f, .slope = 1.702f};
          const Matrix<const float> ups = on.matrix(up, size.n_rows, size.n_cols);
          const Matrix<float> out = on.output(size.n_rows, size.n_cols);
          backend.clipped_multiply(clipped, on.matrix(gate, size.n_rows, size.n_cols), ups, out);
          const Matrix<float> in_place = on.output(size.n_rows, size.n_cols);
          backend.add(in_place, ups, 1.0f);
          backend.clipped_multiply(clipped, in_place, ups, in_place);
          return on.results();
        },
        kMost);
  }
}

TEST_P(CudaElementwise, ClippedValuesAreTheCpusBitForBit) {
  std::vector<float> x = random(100, 4.0f);
  x[7] = std::nanf("");
  x[8] = 1e30f;
  expect_alike(
      [&](Backend& backend) {
        OnBackend on(backend);
        const Matrix<float> out = on.output(10, 10);
        backend.add(out, on.matrix(x, 10, 10), 1.0f);
        backend.clip(out, 3.0f);
        return on.results();
      },
      0.0);
}

TEST_P(CudaElementwise, SoftCapEqualsTheCpus) {
  for (const Size& size : kSizes) {
    const std::vector<float> x = random(size.n_rows * size.n_cols, 40.0f);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const Matrix<float> out = on.output(size.n_rows, size.n_cols);
          backend.add(out, on.matrix(x, size.n_rows, size.n_cols), 1.0f);
          backend.soft_cap(out, 30.0f);
          return on.results();
        },
        kMost);
  }
}

TEST_P(CudaElementwise, SumsAreTheCpusBitForBit) {
  for (const Size& size : kSizes) {
    const std::vector<float> x = random(size.n_rows * size.n_cols), delta = random(size.n_rows * size.n_cols);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const Matrix<float> out = on.output(size.n_rows, size.n_cols);
          backend.add(out, on.matrix(x, size.n_rows, size.n_cols), 1.0f);
          backend.add(out, on.matrix(delta, size.n_rows, size.n_cols), 1.0f);
          return on.results();
        },
        0.0);
  }
}

TEST_P(CudaElementwise, ScaledSumsEqualTheCpus) {
  for (const Size& size : kSizes) {
    const std::vector<float> x = random(size.n_rows * size.n_cols), delta = random(size.n_rows * size.n_cols);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const Matrix<float> out = on.output(size.n_rows, size.n_cols);
          backend.add(out, on.matrix(x, size.n_rows, size.n_cols), 0.3f);
          backend.scale(out, -1.7f);
          backend.add(out, on.matrix(delta, size.n_rows, size.n_cols), -2.5f);
          return on.results();
        },
        kMost);
  }
}

// A gate for each group of columns, in columns of their own between others.
TEST_P(CudaElementwise, GatedGroupsEqualTheCpus) {
  for (const Activation activation : {Activation::kSigmoid, Activation::kSilu}) {
    for (const int64_t group : {1, 7, 64}) {
      for (const int64_t n_groups : {1, 5}) {
        const int64_t n_rows = 3, n_cols = group * n_groups;
        const std::vector<float> x = random(n_rows * n_cols), gates = random(n_rows * (n_groups + 3), 2.0f);
        expect_alike(
            [&](Backend& backend) {
              OnBackend on(backend);
              const Matrix<float> out = on.output(n_rows, n_cols + 2).cols(1, n_cols);
              backend.add(out, on.matrix(x, n_rows, n_cols), 1.0f);
              backend.gate_groups(activation, on.matrix(gates, n_rows, n_groups + 3).cols(2, n_groups), out);
              return on.results();
            },
            kMost);
      }
    }
  }
}

TEST_P(CudaElementwise, SoftplusEqualsTheCpus) {
  const SoftplusRange ranges[] = {{}, {.least = 0.01f, .greatest = 2.0f}};
  for (const Size& size : kSizes) {
    for (const SoftplusRange& range : ranges) {
      const std::vector<float> x = random(size.n_rows * size.n_cols, 15.0f), bias = random(size.n_cols, 3.0f);
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            const TensorView view{.dtype = DType::kF32,
                                  .shape = {size.n_cols},
                                  .data = reinterpret_cast<const std::byte*>(on.input<float>(bias))};
            const Matrix<float> out = on.output(size.n_rows, size.n_cols);
            backend.softplus(on.matrix(x, size.n_rows, size.n_cols), view, range, out);
            const Matrix<float> in_place = on.output(size.n_rows, size.n_cols);
            backend.add(in_place, on.matrix(x, size.n_rows, size.n_cols), 1.0f);
            backend.softplus(in_place, {}, range, in_place);
            return on.results();
          },
          kMost);
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaElementwise);

}  // namespace
}  // namespace orrery::testing
