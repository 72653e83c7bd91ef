#include "engine/blocks/attention_mixer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace orrery {

namespace {

AttentionStats stats_of(const ProbeBuffer& probes, int32_t layer) {
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

}  // namespace

std::vector<StateSpec> Attention::describe_state(DType kv_dtype) const {
  StateSpec spec;
  spec.kind = StateKind::kKeysValues;
  spec.dtype = kv_dtype;
  spec.n_kv_heads = config_.n_kv_heads;
  spec.d_head_k = config_.d_head_k;
  spec.d_head_v = config_.d_head_v;
  spec.window = config_.window;
  return {spec};
}

void Attention::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const auto q = step.workspace.matrix(x.n_rows, int64_t{config_.n_heads} * config_.d_head_k);
  const auto k = step.workspace.matrix(x.n_rows, int64_t{config_.n_kv_heads} * config_.d_head_k);
  const auto v = step.workspace.matrix(x.n_rows, int64_t{config_.n_kv_heads} * config_.d_head_v);
  const auto gate = step.workspace.matrix(x.n_rows, weights_.gate.empty() ? 0 : weights_.gate.n_rows());
  const Product projections[] = {{weights_.q, weights_.q_bias, q},
                                 {weights_.k, weights_.k_bias, k},
                                 {weights_.v, weights_.v_bias, v},
                                 {weights_.gate, weights_.gate_bias, gate}};
  step.backend.matmul(x, std::span(projections).first(weights_.gate.empty() ? 3 : 4));
  add_low_rank(step, weights_.q_adapter, x, q);
  prepare(step, weights_.q_norm, q);
  prepare_and_store(step, x, k, v);
  const auto heads = step.workspace.matrix(x.n_rows, int64_t{config_.n_heads} * config_.d_head_v);
  attend(step, q, heads);
  if (config_.gate == AttentionGate::kElement) {
    step.backend.activate_multiply(Activation::kSigmoid, gate, heads, heads);
  } else if (config_.gate == AttentionGate::kHead) {
    step.backend.gate_groups(Activation::kSigmoid, gate, heads);
  }
  if (const StatSlot slot = step.probes.slot(Quantity::kAttentionOutput, step.layer)) {
    step.backend.group_norms(heads, config_.d_head_v, slot);
  }
  const Product output[] = {{weights_.output, weights_.output_bias, out}};
  step.backend.matmul(heads, output);
}

void Attention::remember(const Step& step, Matrix<const float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto k = step.workspace.matrix(x.n_rows, int64_t{config_.n_kv_heads} * config_.d_head_k);
  const auto v = step.workspace.matrix(x.n_rows, int64_t{config_.n_kv_heads} * config_.d_head_v);
  const Product projections[] = {{weights_.k, weights_.k_bias, k}, {weights_.v, weights_.v_bias, v}};
  step.backend.matmul(x, projections);
  prepare_and_store(step, x, k, v);
}

void Attention::prepare_and_store(const Step& step, Matrix<const float> x, Matrix<float> k, Matrix<float> v) const {
  add_low_rank(step, weights_.k_adapter, x, k);
  add_low_rank(step, weights_.v_adapter, x, v);
  prepare(step, weights_.k_norm, k);
  if (config_.clip > 0.0f) step.backend.clip(v, config_.clip);
  store(step, k, v);
}

void Attention::prepare(const Step& step, const TensorView& norm, Matrix<float> x) const {
  if (config_.qk_norm) {
    const Matrix<float> normed(x.data, x.n_rows * x.n_cols / norm.n_cols(), norm.n_cols());
    step.backend.rms_norm(normed, norm, norm_epsilon_, normed);
  }
  if (config_.clip > 0.0f) step.backend.clip(x, config_.clip);
  if (!config_.rope.inverse_frequencies.empty()) {
    step.backend.rope(x, step.batch.positions, step.batch.length, config_.rope, config_.d_head_k);
  }
}

void Attention::store(const Step& step, Matrix<const float> k, Matrix<const float> v) const {
  std::vector<std::byte*> key_pages, value_pages;
  DType dtype = DType::kF32;
  for (int64_t r = 0; r < step.batch.n_rows(); ++r) {
    const auto row = static_cast<size_t>(r);
    Cache& cache = *step.batch.caches[static_cast<size_t>(step.batch.sequences[row])];
    key_pages.push_back(cache.key_page(step.layer, step.iteration, step.batch.positions[row]));
    value_pages.push_back(cache.value_page(step.layer, step.iteration, step.batch.positions[row]));
    dtype = cache.spec({step.layer, step.iteration, StateKind::kKeysValues}).dtype;
  }
  step.backend.store_kv(k, step.batch.positions, key_pages, dtype, config_.n_kv_heads, config_.d_head_k);
  step.backend.store_kv(v, step.batch.positions, value_pages, dtype, config_.n_kv_heads, config_.d_head_v);
}

std::vector<AttentionRow> Attention::visible_keys(const Step& step, std::vector<std::vector<uint64_t>>& words) const {
  std::vector<AttentionRow> rows;
  for (size_t r = 0; r < step.batch.positions.size(); ++r) {
    AttentionRow& row = rows.emplace_back();
    row.sequence = step.batch.sequences[r];
    row.key_end = step.batch.positions[r] + 1;
    row.key_begin = config_.window > 0 ? std::max<int64_t>(0, row.key_end - config_.window) : 0;
    int64_t n_seen = row.key_end - row.key_begin;
    if (mask_ != nullptr) {
      const int64_t n_words = (row.key_end - 1) / kKvPageTokens - row.key_begin / kKvPageTokens + 1;
      std::vector<uint64_t>& bits = words.emplace_back(static_cast<size_t>(n_words));
      mask_->fill(step, static_cast<int64_t>(r), row.key_begin, bits);
      row.visible = bits;
      n_seen = std::accumulate(bits.begin(), bits.end(), int64_t{0},
                               [](int64_t n, uint64_t word) { return n + std::popcount(word); });
    }
    if (config_.normaliser == AttentionNormaliser::kSigmoid) row.score_bias = -std::log(static_cast<float>(n_seen));
  }
  return rows;
}

void Attention::attend(const Step& step, Matrix<const float> q, Matrix<float> heads) const {
  std::vector<KvPages> sequences;
  for (const Cache* cache : step.batch.caches) sequences.push_back(cache->pages(step.layer, step.iteration));
  std::vector<std::vector<uint64_t>> words;
  const std::vector<AttentionRow> rows = visible_keys(step, words);
  AttentionArgs args;
  args.q = q;
  args.out = heads;
  args.rows = rows;
  args.sequences = sequences;
  args.kv_dtype = step.batch.caches.front()->spec({step.layer, step.iteration, StateKind::kKeysValues}).dtype;
  args.n_heads = config_.n_heads;
  args.n_kv_heads = config_.n_kv_heads;
  args.d_head_k = config_.d_head_k;
  args.d_head_v = config_.d_head_v;
  args.scale = config_.scale;
  args.score_cap = config_.score_cap;
  args.normaliser = config_.normaliser;
  if (!weights_.sinks.empty()) args.sinks = {weights_.sinks.f32(), static_cast<size_t>(config_.n_heads)};
  step.backend.attention(args, stats_of(step.probes, step.layer));
}

}  // namespace orrery
