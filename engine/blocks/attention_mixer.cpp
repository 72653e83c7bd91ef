#include "engine/blocks/attention_mixer.h"

namespace orrery {

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
  const StepPages pages(step);
  prepare_and_store(step, pages, x, k, v);
  const auto heads = step.workspace.matrix(x.n_rows, int64_t{config_.n_heads} * config_.d_head_v);
  attend(step, pages, q, heads);
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
  prepare_and_store(step, StepPages(step), x, k, v);
}

void Attention::prepare_and_store(const Step& step, const StepPages& pages, Matrix<const float> x, Matrix<float> k,
                                  Matrix<float> v) const {
  add_low_rank(step, weights_.k_adapter, x, k);
  add_low_rank(step, weights_.v_adapter, x, v);
  prepare(step, weights_.k_norm, k);
  if (config_.clip > 0.0f) step.backend.clip(v, config_.clip);
  step.backend.store_kv(k, step.batch.positions, pages.keys, pages.dtype, config_.n_kv_heads, config_.d_head_k);
  step.backend.store_kv(v, step.batch.positions, pages.values, pages.dtype, config_.n_kv_heads, config_.d_head_v);
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

void Attention::attend(const Step& step, const StepPages& pages, Matrix<const float> q, Matrix<float> heads) const {
  const SeenKeys seen(step, config_, mask_.get());
  AttentionArgs args;
  args.q = q;
  args.out = heads;
  args.rows = seen.rows();
  args.sequences = pages.sequences;
  args.kv_dtype = pages.dtype;
  args.n_heads = config_.n_heads;
  args.n_kv_heads = config_.n_kv_heads;
  args.d_head_k = config_.d_head_k;
  args.d_head_v = config_.d_head_v;
  args.scale = config_.scale;
  args.score_cap = config_.score_cap;
  args.normaliser = config_.normaliser;
  if (!weights_.sinks.empty()) args.sinks = {weights_.sinks.f32(), static_cast<size_t>(config_.n_heads)};
  step.backend.attention(args, attention_stats(step.probes, step.layer));
}

}  // namespace orrery
