#include "kernels/expert_matmul.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace orrery {

namespace {

size_t expert_of(const Routes& routes, int64_t choice) {
  return static_cast<size_t>(routes.experts == nullptr ? choice % routes.n_chosen : routes.experts[choice]);
}

std::span<const float> bias_of(const ExpertProduct& product, size_t expert) {
  if (product.biases.empty()) return {};
  return {product.biases[expert].f32(), static_cast<size_t>(product.out.n_cols)};
}

// One row at all its experts, which share its input: one parallel loop.
void multiply_row(Matrix<const float> x, int64_t row, const Routes& routes, std::span<const ExpertProduct> products,
                  ExpertMatmulScratch& scratch, ThreadPool& pool) {
  scratch.targets.clear();
  for (int64_t choice = row * routes.n_chosen; choice < (row + 1) * routes.n_chosen; ++choice) {
    const size_t expert = expert_of(routes, choice);
    for (const ExpertProduct& product : products) {
      scratch.targets.push_back(
          {.weight = product.weights[expert], .bias = bias_of(product, expert), .out = product.out.rows(choice, 1)});
    }
  }
  matmul(x.rows(row, 1), scratch.targets, scratch.matmul, pool);
}

// Counting sort of all choices by their expert.
void sort_by_expert(const Routes& routes, size_t n_experts, ExpertMatmulScratch& scratch) {
  const int64_t n_choices = routes.n_rows * routes.n_chosen;
  scratch.begin.assign(n_experts + 1, 0);
  for (int64_t c = 0; c < n_choices; ++c) ++scratch.begin[expert_of(routes, c) + 1];
  for (size_t e = 0; e < n_experts; ++e) scratch.begin[e + 1] += scratch.begin[e];
  std::vector<int32_t> next(scratch.begin.begin(), scratch.begin.end() - 1);
  scratch.choices.resize(static_cast<size_t>(n_choices));
  for (int64_t c = 0; c < n_choices; ++c) {
    scratch.choices[static_cast<size_t>(next[expert_of(routes, c)]++)] = c;
  }
}

// The rows that chose an expert, gathered, multiplied, and put where they belong.
void multiply_rows_of(size_t expert, Matrix<const float> x, int64_t choices_per_row,
                      std::span<const ExpertProduct> products, ExpertMatmulScratch& scratch, ThreadPool& pool) {
  const std::span<const int64_t> choices(scratch.choices.data() + scratch.begin[expert],
                                         static_cast<size_t>(scratch.begin[expert + 1] - scratch.begin[expert]));
  const auto n = static_cast<int64_t>(choices.size());
  if (n == 0) return;
  int64_t out_width = 0;
  for (const ExpertProduct& product : products) out_width += product.out.n_cols;
  scratch.inputs.resize(static_cast<size_t>(n * x.n_cols));
  scratch.outputs.resize(static_cast<size_t>(n * out_width));
  for (int64_t i = 0; i < n; ++i) {
    const auto row = x.row_span(choices[static_cast<size_t>(i)] / choices_per_row);
    std::ranges::copy(row, scratch.inputs.begin() + i * x.n_cols);
  }
  scratch.targets.clear();
  float* out = scratch.outputs.data();
  for (const ExpertProduct& product : products) {
    scratch.targets.push_back({.weight = product.weights[expert],
                               .bias = bias_of(product, expert),
                               .out = Matrix<float>(out, n, product.out.n_cols)});
    out += n * product.out.n_cols;
  }
  matmul(Matrix<const float>(scratch.inputs.data(), n, x.n_cols), scratch.targets, scratch.matmul, pool);
  for (size_t p = 0; p < products.size(); ++p) {
    for (int64_t i = 0; i < n; ++i) {
      std::ranges::copy(scratch.targets[p].out.row_span(i), products[p].out.row(choices[static_cast<size_t>(i)]));
    }
  }
}

}  // namespace

void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                   ExpertMatmulScratch& scratch, ThreadPool& pool) {
  const int64_t n_choices = routes.n_rows * routes.n_chosen;
  const bool is_shared = x.n_rows == routes.n_rows;
  CHECK(is_shared || x.n_rows == n_choices, "x has neither a row per row nor a row per choice");
  if (is_shared && routes.n_rows == 1) return multiply_row(x, 0, routes, products, scratch, pool);
  const size_t n_experts = products.front().weights.size();
  sort_by_expert(routes, n_experts, scratch);
  const int64_t choices_per_row = is_shared ? routes.n_chosen : 1;
  for (size_t e = 0; e < n_experts; ++e) multiply_rows_of(e, x, choices_per_row, products, scratch, pool);
}

}  // namespace orrery
