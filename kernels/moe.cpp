#include "kernels/moe.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

namespace orrery {

namespace {

constexpr int64_t kElementsPerTask = 2048;  // exponentials: some 5 us

// Shifted by the greatest, so that it is finite for any logits.
void softmax(std::span<const float> logits, std::span<float> out) {
  const float greatest = *std::ranges::max_element(logits);
  float sum = 0.0f;
  for (size_t i = 0; i < logits.size(); ++i) sum += out[i] = std::exp(logits[i] - greatest);
  for (float& p : out) p /= sum;
}

float entropy_of(std::span<const float> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  double entropy = 0.0;
  for (const float w : weights) {
    if (w > 0.0f) entropy -= double{w} / sum * std::log(double{w} / sum);
  }
  return static_cast<float>(entropy);
}

// Routes rows one after the other; keeps its buffers between them. Sorts stably: with weights that are not numbers
// there is no order, which other sorts do not survive.
class Router {
 public:
  Router(const RouterConfig& config, std::span<const float> bias)
      : config_(config), bias_(bias), scores_(size()), ranking_(size()), order_(size()) {}

  void route(std::span<const float> logits, int32_t* experts, float* weights) {
    score(logits);
    n_eligible_ = config_.n_experts;
    std::iota(order_.begin(), order_.end(), 0);
    if (config_.n_kept_groups < config_.n_groups) keep_best_groups();
    // One more than is chosen: the margin is to that one.
    const int32_t n_sorted = std::min(n_eligible_, config_.n_chosen + 1);
    std::partial_sort(order_.begin(), order_.begin() + n_sorted, order_.begin() + n_eligible_,
                      [this](int32_t a, int32_t b) { return ranks_before(a, b); });
    weigh(logits, weights);
    put_heaviest_first(experts, weights);
  }

  float margin() const {
    if (n_eligible_ <= config_.n_chosen) return std::numeric_limits<float>::quiet_NaN();
    return ranking(order_[static_cast<size_t>(config_.n_chosen - 1)]) -
           ranking(order_[static_cast<size_t>(config_.n_chosen)]);
  }
  float entropy() const { return entropy_of(scores_); }

 private:
  size_t size() const { return static_cast<size_t>(config_.n_experts); }
  float ranking(int32_t expert) const { return ranking_[static_cast<size_t>(expert)]; }
  bool ranks_before(int32_t a, int32_t b) const {
    return ranking(a) > ranking(b) || (ranking(a) == ranking(b) && a < b);
  }

  void score(std::span<const float> logits) {
    if (config_.score == RouterScore::kSigmoid) {
      std::ranges::transform(logits, scores_.begin(), [](float x) { return 1.0f / (1.0f + std::exp(-x)); });
    } else {
      softmax(logits, scores_);
    }
    const std::span<const float> ranked = config_.score == RouterScore::kSoftmaxOfChosen ? logits : scores_;
    for (size_t e = 0; e < size(); ++e) {
      const float rank = ranked[e] + (bias_.empty() ? 0.0f : bias_[e]);
      ranking_[e] = std::isnan(rank) ? -std::numeric_limits<float>::infinity() : rank;  // so that there is an order
    }
  }

  float worth_of_group(int32_t first, int32_t n) const {
    float best = -std::numeric_limits<float>::infinity(), second = best;
    for (int32_t e = first; e < first + n; ++e) {
      second = std::max(second, std::min(best, ranking(e)));
      best = std::max(best, ranking(e));
    }
    return config_.group_by_sum_of_two && n > 1 ? best + second : best;
  }

  // Leaves only the experts of the best groups in order_[0 .. n_eligible_).
  void keep_best_groups() {
    const int32_t n = config_.n_experts / config_.n_groups;
    std::vector<std::pair<float, int32_t>> groups;  // negative worth, so that the order is best first, then lower id
    for (int32_t g = 0; g < config_.n_groups; ++g) groups.emplace_back(-worth_of_group(g * n, n), g);
    std::ranges::stable_sort(groups);
    n_eligible_ = 0;
    for (int32_t i = 0; i < config_.n_kept_groups; ++i) {
      const int32_t first = groups[static_cast<size_t>(i)].second * n;
      for (int32_t e = first; e < first + n; ++e) order_[static_cast<size_t>(n_eligible_++)] = e;
    }
  }

  // The weights of the chosen ones, in the order of their ranking.
  void weigh(std::span<const float> logits, float* weights) const {
    const auto k = static_cast<size_t>(config_.n_chosen);
    if (config_.score == RouterScore::kSoftmaxOfChosen) {
      for (size_t j = 0; j < k; ++j) weights[j] = logits[static_cast<size_t>(order_[j])];
      softmax({weights, k}, {weights, k});
    } else {
      for (size_t j = 0; j < k; ++j) weights[j] = scores_[static_cast<size_t>(order_[j])];
    }
    float factor = config_.scale;
    if (config_.renormalise) factor /= std::accumulate(weights, weights + k, 0.0f) + config_.renormalise_epsilon;
    for (size_t j = 0; j < k; ++j) weights[j] *= factor;
  }

  void put_heaviest_first(int32_t* experts, float* weights) {
    const auto k = static_cast<size_t>(config_.n_chosen);
    chosen_.clear();
    for (size_t j = 0; j < k; ++j) chosen_.emplace_back(-weights[j], order_[j]);
    std::ranges::stable_sort(chosen_);
    for (size_t j = 0; j < k; ++j) {
      weights[j] = -chosen_[j].first;
      experts[j] = chosen_[j].second;
    }
  }

  const RouterConfig& config_;
  std::span<const float> bias_;
  std::vector<float> scores_;   // softmax or sigmoid of all logits
  std::vector<float> ranking_;  // what is chosen by
  std::vector<int32_t> order_;  // eligible experts, the best ones first
  int32_t n_eligible_ = 0;
  std::vector<std::pair<float, int32_t>> chosen_;
};

}  // namespace

void route(Matrix<const float> logits, std::span<const float> bias, const RouterConfig& config, const Routes& routes,
           const RouterStats& stats, ThreadPool& pool) {
  CHECK(logits.n_cols == config.n_experts && routes.n_rows == logits.n_rows && routes.n_chosen == config.n_chosen);
  CHECK(config.n_chosen >= 1 && config.n_experts % config.n_groups == 0 &&
            config.n_chosen <= config.n_experts / config.n_groups * config.n_kept_groups,
        "there are not as many experts to choose from");
  pool.parallel_for(logits.n_rows, kElementsPerTask / config.n_experts + 1, [&](int64_t begin, int64_t end) {
    Router router(config, bias);
    const auto k = static_cast<size_t>(config.n_chosen);
    for (int64_t r = begin; r < end; ++r) {
      int32_t* const experts = routes.experts + r * config.n_chosen;
      float* const weights = routes.weights + r * config.n_chosen;
      router.route(logits.row_span(r), experts, weights);
      if (stats.experts) std::memcpy(stats.experts.row(r), experts, k * sizeof(int32_t));
      if (stats.weights) std::memcpy(stats.weights.row(r), weights, k * sizeof(float));
      if (stats.margin) *stats.margin.row(r) = router.margin();
      if (stats.entropy) *stats.entropy.row(r) = router.entropy();
    }
  });
}

void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out, ThreadPool& pool) {
  CHECK(x.n_rows == routes.n_rows * routes.n_chosen && out.n_rows == routes.n_rows && out.n_cols == x.n_cols);
  pool.parallel_for(out.n_rows, 16384 / (out.n_cols * routes.n_chosen + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* const to = out.row(r);
      std::fill(to, to + out.n_cols, 0.0f);
      for (int64_t choice = r * routes.n_chosen; choice < (r + 1) * routes.n_chosen; ++choice) {
        const float weight = routes.weights[choice];
        const float* const from = x.row(choice);
        for (int64_t i = 0; i < out.n_cols; ++i) to[i] += weight * from[i];
      }
    }
  });
}

}  // namespace orrery
