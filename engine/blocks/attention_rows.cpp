#include "engine/blocks/attention_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace orrery {

AttentionStats attention_stats(const ProbeBuffer& probes, int32_t layer) {
  AttentionStats stats;
  stats.entropy = probes.slot(Quantity::kAttentionEntropy, layer);
  stats.first = probes.slot(Quantity::kAttentionFirst, layer);
  stats.previous = probes.slot(Quantity::kAttentionPrevious, layer);
  stats.distance = probes.slot(Quantity::kAttentionDistance, layer);
  stats.top = probes.slot(Quantity::kAttentionTop, layer);
  stats.rest = probes.slot(Quantity::kAttentionRest, layer);
  stats.mass = probes.slot(Quantity::kAttentionMass, layer);
  stats.n_mass_blocks = (probes.n_keys() + kKvPageTokens - 1) / kKvPageTokens;
  stats.rows = probes.slot(Quantity::kAttentionRow, layer);
  if (stats.rows) stats.row_heads = probes.field(Quantity::kAttentionRow)->heads;
  stats.n_row_keys = probes.n_keys();
  return stats;
}

SeenKeys::SeenKeys(const Step& step, const AttentionConfig& config, const KeyMask* mask) {
  for (size_t r = 0; r < step.batch.positions.size(); ++r) {
    AttentionRow& row = rows_.emplace_back();
    row.sequence = step.batch.sequences[r];
    row.key_end = step.batch.positions[r] + 1;
    row.key_begin = config.window > 0 ? std::max<int64_t>(0, row.key_end - config.window) : 0;
    int64_t n_seen = row.key_end - row.key_begin;
    if (mask != nullptr) {
      const int64_t n_words = (row.key_end - 1) / kKvPageTokens - row.key_begin / kKvPageTokens + 1;
      std::vector<uint64_t>& bits = words_.emplace_back(static_cast<size_t>(n_words));
      mask->fill(step, static_cast<int64_t>(r), row.key_begin, bits);
      row.visible = bits;
      n_seen = std::accumulate(bits.begin(), bits.end(), int64_t{0},
                               [](int64_t n, uint64_t word) { return n + std::popcount(word); });
    }
    if (config.normaliser == AttentionNormaliser::kSigmoid) row.score_bias = -std::log(static_cast<float>(n_seen));
  }
}

StepPages::StepPages(const Step& step) {
  for (size_t row = 0; row < step.batch.positions.size(); ++row) {
    Cache& cache = *step.batch.caches[static_cast<size_t>(step.batch.sequences[row])];
    keys.push_back(cache.key_page(step.layer, step.iteration, step.batch.positions[row]));
    values.push_back(cache.value_page(step.layer, step.iteration, step.batch.positions[row]));
  }
  for (const Cache* cache : step.batch.caches) sequences.push_back(cache->pages(step.layer, step.iteration));
  dtype = step.batch.caches.front()->spec({step.layer, step.iteration, StateKind::kKeysValues}).dtype;
}

}  // namespace orrery
