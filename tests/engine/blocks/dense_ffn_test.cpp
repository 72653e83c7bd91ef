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
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kIdentity:
      return x;
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

std::vector<float> run(const DenseFfn& ffn, const std::vector<float>& x) {
  const auto backend = make_cpu_backend(1);
  Workspace workspace(backend);
  const Batch batch{};
  const ProbeBuffer probes(backend);
  const Step step{.backend = *backend, .workspace = workspace, .batch = batch, .probes = probes};
  std::vector<float> out(static_cast<size_t>(kRows * kModel));
  ffn.forward(step, Matrix<const float>(x.data(), kRows, kModel), Matrix<float>(out.data(), kRows, kModel));
  return out;
}

std::vector<float> times(std::vector<float> values, float factor) {
  for (float& value : values) value *= factor;
  return values;
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5) << i;
}

TEST(DenseFfn, FactorsAreAsInTheWeights) {
  const auto gate = numbers(kWidth * kModel, 0.1f), up = numbers(kWidth * kModel, 0.7f),
             down = numbers(kModel * kWidth, 1.3f), x = numbers(kRows * kModel, 3.0f);
  const auto scaled_gate = times(gate, 0.7f), scaled_down = times(down, 1.9f);
  DenseFfnWeights weights;
  weights.gate = view(gate, {kWidth, kModel});
  weights.up = view(up, {kWidth, kModel});
  weights.down = view(down, {kModel, kWidth});
  DenseFfnWeights scaled = weights;
  scaled.gate = view(scaled_gate, {kWidth, kModel});
  scaled.down = view(scaled_down, {kModel, kWidth});
  expect_near(run(DenseFfn(Activation::kSilu, weights, {.gate = 0.7f, .out = 1.9f}), x),
              run(DenseFfn(Activation::kSilu, scaled), x));
}

TEST(DenseFfn, AdaptersAreAsAddedToTheirMatrices) {
  constexpr int64_t kRank = 2;
  const auto gate = numbers(kWidth * kModel, 0.1f), up = numbers(kWidth * kModel, 0.7f),
             down = numbers(kModel * kWidth, 1.3f), x = numbers(kRows * kModel, 3.0f);
  const auto narrow = numbers(kRank * kModel, 4.0f), wide = numbers(kWidth * kRank, 5.0f);
  const auto with_adapter = [&](std::vector<float> matrix) {
    for (int64_t i = 0; i < kWidth; ++i) {
      for (int64_t j = 0; j < kModel; ++j) {
        for (int64_t r = 0; r < kRank; ++r) {
          matrix[static_cast<size_t>(i * kModel + j)] +=
              wide[static_cast<size_t>(i * kRank + r)] * narrow[static_cast<size_t>(r * kModel + j)];
        }
      }
    }
    return matrix;
  };
  const LowRank adapter{.down = view(narrow, {kRank, kModel}), .up = view(wide, {kWidth, kRank})};
  const auto adapted_gate = with_adapter(gate), adapted_up = with_adapter(up);
  DenseFfnWeights apart;
  apart.gate = view(gate, {kWidth, kModel});
  apart.up = view(up, {kWidth, kModel});
  apart.down = view(down, {kModel, kWidth});
  DenseFfnWeights together = apart;
  apart.gate_adapter = apart.up_adapter = adapter;
  together.gate = view(adapted_gate, {kWidth, kModel});
  together.up = view(adapted_up, {kWidth, kModel});
  expect_near(run(DenseFfn(Activation::kGelu, apart), x), run(DenseFfn(Activation::kGelu, together), x));
}

}  // namespace
}  // namespace orrery::testing
