#include "engine/blocks/dense_ffn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace orrery::testing {
namespace {

constexpr int64_t kModel = 5, kWidth = 7, kRows = 3;

std::vector<float> numbers(int64_t n, float phase) {
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(std::sin(phase + 1.7f * static_cast<float>(i)));
  return values;
}

TensorView view(const std::vector<float>& values, Shape shape) {
  return {.dtype = DType::kF32, .shape = shape, .data = reinterpret_cast<const std::byte*>(values.data())};
}

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(0.7978845608 * (x + 0.044715 * x * x * x)));
    case Activation::kGelu:
      return 0.5 * x * (1 + std::erf(x / 1.4142135624));
    case Activation::kReluSquared:
      return x > 0 ? x * x : 0;
  }
  return 0;
}

TEST(DenseFfn, IsGatedWhereItHasAGate) {
  const auto gate = numbers(kWidth * kModel, 0.1f), up = numbers(kWidth * kModel, 0.7f),
             down = numbers(kModel * kWidth, 1.3f), up_bias = numbers(kWidth, 2.0f), x = numbers(kRows * kModel, 3.0f);
  const auto backend = make_cpu_backend(1);
  Workspace workspace(backend);
  const Batch batch{};
  const ProbeBuffer probes(backend);
  const Step step{.backend = *backend, .workspace = workspace, .batch = batch, .probes = probes};
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGelu, Activation::kReluSquared}) {
    for (const bool is_gated : {true, false}) {
      DenseFfnWeights weights;
      if (is_gated) weights.gate = view(gate, {kWidth, kModel});
      weights.up = view(up, {kWidth, kModel});
      weights.up_bias = view(up_bias, {kWidth});
      weights.down = view(down, {kModel, kWidth});
      std::vector<float> out(static_cast<size_t>(kRows * kModel));
      DenseFfn(activation, weights)
          .forward(step, Matrix<const float>(x.data(), kRows, kModel), Matrix<float>(out.data(), kRows, kModel));
      for (int64_t r = 0; r < kRows; ++r) {
        std::vector<double> expected(kModel, 0.0);
        for (int64_t i = 0; i < kWidth; ++i) {
          double g = 0, u = up_bias[static_cast<size_t>(i)];
          for (int64_t j = 0; j < kModel; ++j) {
            const double input = x[static_cast<size_t>(r * kModel + j)];
            g += gate[static_cast<size_t>(i * kModel + j)] * input;
            u += up[static_cast<size_t>(i * kModel + j)] * input;
          }
          const double inner = is_gated ? activated(activation, g) * u : activated(activation, u);
          for (int64_t j = 0; j < kModel; ++j) {
            expected[static_cast<size_t>(j)] += down[static_cast<size_t>(j * kWidth + i)] * inner;
          }
        }
        for (int64_t j = 0; j < kModel; ++j) {
          EXPECT_NEAR(out[static_cast<size_t>(r * kModel + j)], expected[static_cast<size_t>(j)], 1e-5);
        }
      }
    }
  }
}

}  // namespace
}  // namespace orrery::testing
