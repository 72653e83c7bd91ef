#include <bit>
#include <limits>
#include <set>

#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// Exponentials that are good to 2e-7, and sums of up to 300 of them in another order.
constexpr double kMost = 1e-11;

struct Case {
  const char* like;
  RouterConfig config;
  bool has_bias;
};

const Case kCases[] = {
    {"one of one", {.n_experts = 1, .n_chosen = 1}, false},
    {"Mixtral", {.n_experts = 8, .n_chosen = 2, .renormalise = true}, false},
    {"OLMoE", {.n_experts = 64, .n_chosen = 8}, false},
    {"all of them", {.n_experts = 5, .n_chosen = 5, .renormalise = true}, false},
    {"gpt-oss", {.n_experts = 33, .n_chosen = 4, .score = RouterScore::kSoftmaxOfChosen}, false},
    {"logits with a bias", {.n_experts = 9, .n_chosen = 3, .score = RouterScore::kSoftmaxOfChosen}, true},
    {"LFM2",
     {.n_experts = 31,
      .n_chosen = 4,
      .score = RouterScore::kSigmoid,
      .renormalise = true,
      .renormalise_epsilon = 1e-6f,
      .scale = 1.7f},
     true},
    {"DeepSeek-V3",
     {.n_experts = 300,
      .n_chosen = 8,
      .score = RouterScore::kSigmoid,
      .renormalise = true,
      .renormalise_epsilon = 1e-20f,
      .scale = 2.5f,
      .n_groups = 10,
      .n_kept_groups = 4},
     true},
    {"groups of one expert",
     {.n_experts = 7, .n_chosen = 2, .score = RouterScore::kSigmoid, .n_groups = 7, .n_kept_groups = 3},
     true},
    {"groups by their best",
     {.n_experts = 24, .n_chosen = 6, .n_groups = 4, .n_kept_groups = 1, .group_by_sum_of_two = false},
     false},
};

// What route() writes: experts as floats, so that they can be compared with the rest.
struct Routed {
  std::vector<float> experts, weights, stat_experts, stat_weights, margin, entropy;
  std::vector<float> all() const {
    std::vector<float> values;
    for (const auto* part : {&experts, &weights, &stat_experts, &stat_weights, &margin, &entropy}) {
      values.insert(values.end(), part->begin(), part->end());
    }
    return values;
  }
};

class CudaMoe : public CudaOperation {
 protected:
  static Routed routed(Backend& backend, const RouterConfig& config, std::span<const float> logits, int64_t n_rows,
                       std::span<const float> bias) {
    OnBackend on(backend);
    const Routes routes{.experts = reinterpret_cast<int32_t*>(on.output(n_rows, config.n_chosen).data),
                        .weights = on.output(n_rows, config.n_chosen).data,
                        .n_rows = n_rows,
                        .n_chosen = config.n_chosen};
    const RouterStats stats{.experts = on.slot(n_rows, config.n_chosen),
                            .weights = on.slot(n_rows, config.n_chosen),
                            .margin = on.slot(n_rows, 1),
                            .entropy = on.slot(n_rows, 1)};
    TensorView view;
    if (!bias.empty()) {
      view = {.dtype = DType::kF32,
              .shape = {config.n_experts},
              .data = reinterpret_cast<const std::byte*>(on.input(bias))};
    }
    // The logits are some columns of a wider matrix.
    const int64_t width = static_cast<int64_t>(logits.size()) / n_rows;
    backend.route(on.matrix(logits, n_rows, width).cols(width - config.n_experts, config.n_experts), view, config,
                  routes, stats);
    const std::vector<float> results = on.results();
    auto from = results.begin();
    const auto take = [&](int64_t n) {
      const std::vector<float> part(from, from + n);
      from += n;
      return part;
    };
    const auto ids = [](std::vector<float> values) {
      for (float& value : values) value = static_cast<float>(std::bit_cast<int32_t>(value));
      return values;
    };
    const int64_t n_choices = n_rows * config.n_chosen;
    Routed out;
    out.experts = ids(take(n_choices));
    out.weights = take(n_choices);
    out.stat_experts = ids(take(n_choices));
    out.stat_weights = take(n_choices);
    out.margin = take(n_rows);
    out.entropy = take(n_rows);
    return out;
  }

  std::vector<float> logits(int64_t n_rows, int64_t width) { return random(n_rows * width, 1.5f); }
};

TEST_P(CudaMoe, RoutesEqualTheCpus) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.like);
    for (const int64_t n_rows : {1, 5}) {
      const std::vector<float> x = logits(n_rows, c.config.n_experts + 3);
      const std::vector<float> bias = random(c.has_bias ? c.config.n_experts : 0, 0.3f);
      expect_alike([&](Backend& backend) { return routed(backend, c.config, x, n_rows, bias).all(); }, kMost);
      EXPECT_EQ(routed(*backend_, c.config, x, n_rows, bias).experts, routed(*cpu_, c.config, x, n_rows, bias).experts);
    }
  }
}

TEST_P(CudaMoe, TiesGoToTheLowerExpert) {
  const std::vector<float> equal(12, 0.5f);
  const RouterConfig config{.n_experts = 12, .n_chosen = 4};
  EXPECT_EQ(routed(*backend_, config, equal, 1, {}).experts, std::vector<float>({0, 1, 2, 3}));
  EXPECT_EQ(routed(*backend_, config, equal, 1, {}).margin, std::vector<float>({0.0f}));
  const std::vector<float> zeros = {-0.0f, 0.0f, 1.0f, -0.0f};
  EXPECT_EQ(routed(*backend_, {.n_experts = 4, .n_chosen = 3}, zeros, 1, {}).experts, std::vector<float>({2, 0, 1}));
}

// Whatever the logits are, experts are there and none is chosen twice: other operations read their weights.
TEST_P(CudaMoe, ChoosesExpertsWhateverTheLogits) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.like);
    const auto n = static_cast<size_t>(c.config.n_experts);
    for (const float value : {nan, inf, -inf, 1e30f, -1e30f}) {
      std::vector<float> x = logits(2, c.config.n_experts);
      std::fill(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n), value);  // a row of them
      x[n] = value;                                                             // and one among numbers
      const std::vector<float> experts = routed(*backend_, c.config, x, 2, {}).experts;
      for (size_t row = 0; row < 2; ++row) {
        const auto begin = experts.begin() + static_cast<std::ptrdiff_t>(row) * c.config.n_chosen;
        const std::set<float> distinct(begin, begin + c.config.n_chosen);
        EXPECT_EQ(static_cast<int32_t>(distinct.size()), c.config.n_chosen) << value;
        EXPECT_GE(*distinct.begin(), 0.0f) << value;
        EXPECT_LT(*distinct.rbegin(), static_cast<float>(n)) << value;
      }
    }
  }
}

TEST_P(CudaMoe, SumsOfExpertsEqualTheCpus) {
  for (const int32_t n_chosen : {1, 3, 8}) {
    for (const int64_t n_cols : {1, 37, 300}) {
      const int64_t n_rows = 3;
      const std::vector<float> x = random(n_rows * n_chosen * (n_cols + 1)), weights = random(n_rows * n_chosen);
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            const Routes routes{.experts = nullptr,
                                .weights = const_cast<float*>(on.input<float>(weights)),
                                .n_rows = n_rows,
                                .n_chosen = n_chosen};
            backend.sum_experts(on.matrix(x, n_rows * n_chosen, n_cols + 1).cols(1, n_cols), routes,
                                on.output(n_rows, n_cols + 2).cols(1, n_cols));
            return on.results();
          },
          kMost);
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaMoe);

}  // namespace
}  // namespace orrery::testing
