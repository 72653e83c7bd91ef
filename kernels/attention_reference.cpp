#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/attention.h"
#include "kernels/base/check.h"

namespace orrery {

namespace {

// Element i of a key or value of one head, `stride` numbers a token; `page` is the one that holds `key`.
double element(const AttentionArgs& args, const std::byte* page, int64_t key, int64_t kv_head, int64_t stride,
               int64_t i) {
  const int64_t at = (kv_head * kKvPageTokens + key % kKvPageTokens) * stride + i;
  if (args.kv_dtype == DType::kF32) {
    float value;
    std::memcpy(&value, page + at * 4, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, page + at * 2, 2);
  return f16_to_f32(half);
}

bool is_visible(const AttentionRow& row, int64_t key) {
  if (row.visible.empty()) return true;
  const auto word = static_cast<size_t>(key / kKvPageTokens - row.key_begin / kKvPageTokens);
  return (row.visible[word] >> (key % kKvPageTokens) & 1u) != 0;
}

// The weights of one row and head as the statistics see them.
struct RowWeights {
  int64_t key_begin = 0;
  int64_t position = 0;         // the row's own: the last key
  std::vector<double> weights;  // of key key_begin + i
  double of(int64_t key) const {
    return key < key_begin || key > position ? 0.0 : weights[static_cast<size_t>(key - key_begin)];
  }
};

void write_top(const RowWeights& row, int64_t r, int32_t head, const AttentionStats& stats) {
  std::vector<size_t> order;  // a weight that is not a number has no place
  for (size_t i = 0; i < row.weights.size(); ++i) {
    if (!std::isnan(row.weights[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return row.weights[a] > row.weights[b]; });
  const size_t n_top = std::min(order.size(), static_cast<size_t>(kAttentionTopKeys));
  if (stats.top) {
    float* top = stats.top.row(r) + head * kAttentionTopKeys * 2;
    for (size_t rank = 0; rank < kAttentionTopKeys; ++rank) {
      const bool there = rank < n_top;
      top[2 * rank] = there ? static_cast<float>(row.key_begin + static_cast<int64_t>(order[rank])) : -1.0f;
      top[2 * rank + 1] = there ? static_cast<float>(row.weights[order[rank]]) : 0.0f;
    }
  }
  double rest = 0.0;
  for (size_t rank = order.size(); rank-- > n_top;) rest += row.weights[order[rank]];
  if (stats.rest) stats.rest.row(r)[head] = static_cast<float>(rest);
}

void write_stats(const RowWeights& row, int64_t r, int32_t head, const AttentionStats& stats) {
  double entropy = 0.0, distance = 0.0, sum = 0.0;
  for (int64_t key = row.key_begin; key <= row.position; ++key) {
    const double w = row.of(key);
    if (w != 0.0) entropy -= w * std::log(w);
    distance += w * static_cast<double>(row.position - key);
    sum += w;
  }
  if (stats.entropy) stats.entropy.row(r)[head] = static_cast<float>(entropy);
  if (stats.distance) stats.distance.row(r)[head] = static_cast<float>(distance / sum);
  if (stats.previous) stats.previous.row(r)[head] = static_cast<float>(row.of(row.position - 1));
  if (stats.first) stats.first.row(r)[head] = static_cast<float>(row.of(0) + row.of(1) + row.of(2) + row.of(3));
  if (stats.top || stats.rest) write_top(row, r, head, stats);
  for (int64_t block = 0; stats.mass && block < stats.n_mass_blocks; ++block) {
    double mass = 0.0;
    for (int64_t i = 0; i < kKvPageTokens; ++i) mass += row.of(block * kKvPageTokens + i);
    stats.mass.row(r)[head * stats.n_mass_blocks + block] = static_cast<float>(mass);
  }
  const auto wanted = std::find(stats.row_heads.begin(), stats.row_heads.end(), head);
  if (!stats.rows || wanted == stats.row_heads.end()) return;
  float* weights = stats.rows.row(r) + (wanted - stats.row_heads.begin()) * stats.n_row_keys;
  for (int64_t key = 0; key < stats.n_row_keys; ++key) weights[key] = static_cast<float>(row.of(key));
}

}  // namespace

void attention_reference(const AttentionArgs& args, const AttentionStats& stats) {
  for (int64_t r = 0; r < args.q.n_rows; ++r) {
    const AttentionRow& seen = args.rows[static_cast<size_t>(r)];
    const KvPages& pages = args.sequences[static_cast<size_t>(seen.sequence)];
    CHECK(seen.key_begin >= 0 && seen.key_begin < seen.key_end, "a row sees no key");
    for (int32_t head = 0; head < args.n_heads; ++head) {
      const int64_t kv_head = int64_t{head} * args.n_kv_heads / args.n_heads;
      const float* q = args.q.row(r) + int64_t{head} * args.d_head_k;
      RowWeights row{seen.key_begin, seen.key_end - 1, {}};
      const double sink = args.sinks.empty() ? -INFINITY : double{args.sinks[static_cast<size_t>(head)]};
      double greatest = sink;
      for (int64_t key = seen.key_begin; key < seen.key_end; ++key) {
        double score = 0.0;
        for (int32_t i = 0; i < args.d_head_k; ++i) {
          score += q[i] * element(args, pages.keys_of(key / kKvPageTokens), key, kv_head, args.d_head_k, i);
        }
        score *= args.scale;
        if (args.score_cap > 0.0f) score = args.score_cap * std::tanh(score / args.score_cap);
        row.weights.push_back(is_visible(seen, key) ? score : -INFINITY);
        greatest = std::max(greatest, row.weights.back());
      }
      if (args.normaliser == AttentionNormaliser::kSigmoid) {
        for (double& w : row.weights) w = 1.0 / (1.0 + std::exp(-w - double{seen.score_bias}));
      } else {
        double sum = std::exp(sink - greatest);
        for (double& w : row.weights) sum += w = std::exp(w - greatest);
        for (double& w : row.weights) w /= sum;
      }
      for (int32_t i = 0; i < args.d_head_v; ++i) {
        double value = 0.0;
        for (int64_t key = seen.key_begin; key < seen.key_end; ++key) {
          value +=
              row.of(key) * element(args, pages.values_of(key / kKvPageTokens), key, kv_head, args.value_stride(), i);
        }
        args.out.row(r)[int64_t{head} * args.d_head_v + i] = static_cast<float>(value);
      }
      write_stats(row, r, head, stats);
    }
  }
}

}  // namespace orrery
