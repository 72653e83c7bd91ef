#include "engine/blocks/latent_attention.h"

namespace orrery {

namespace {

// Columns [begin, begin + count) of every head of x [n_rows, n_heads * d_head], as [n_rows * n_heads, count].
template <typename T>
Matrix<T> of_heads(Matrix<T> x, int64_t d_head, int64_t begin, int64_t count) {
  return {x.data + begin, x.n_rows * x.n_cols / d_head, count, d_head};
}

}  // namespace

std::vector<StateSpec> LatentAttention::describe_state(DType kv_dtype) const {
  StateSpec spec;
  spec.kind = StateKind::kKeysValues;
  spec.dtype = kv_dtype;
  spec.n_kv_heads = 1;
  spec.d_head_k = static_cast<int32_t>(d_cached());
  spec.d_head_v = 0;
  spec.window = config_.window;
  return {spec};
}

Matrix<const float> LatentAttention::latents(const Step& step, Matrix<const float> x) const {
  const auto latents = step.workspace.matrix(x.n_rows, d_cached());
  const Product product[] = {{weights_.down, weights_.down_bias, latents}};
  step.backend.matmul(x, product);
  const auto normed = latents.cols(0, config_.d_latent);
  step.backend.rms_norm(normed, weights_.norm, norm_epsilon_, normed);
  if (!config_.rope.inverse_frequencies.empty()) {
    step.backend.rope(latents.cols(config_.d_latent, config_.d_shared_rope), step.batch.positions, step.batch.length,
                      config_.rope, config_.d_shared_rope);
  }
  return latents;
}

Matrix<const float> LatentAttention::queries(const Step& step, Matrix<const float> x) const {
  if (!weights_.query_down.empty()) {
    const auto latent = step.workspace.matrix(x.n_rows, weights_.query_down.n_rows());
    const Product product[] = {{weights_.query_down, weights_.query_down_bias, latent}};
    step.backend.matmul(x, product);
    step.backend.rms_norm(latent, weights_.query_norm, norm_epsilon_, latent);
    x = latent;
  }
  const int64_t n_heads = config_.n_heads, d_head = config_.d_head_k, d_rope = config_.d_shared_rope;
  const int64_t d_plain = d_head - d_rope, d_latent = config_.d_latent;
  const auto made = step.workspace.matrix(x.n_rows, n_heads * d_head);
  const Product product[] = {{weights_.query, {}, made}};
  step.backend.matmul(x, product);

  const auto taken = step.workspace.matrix(x.n_rows, n_heads * d_cached());
  const Routes all_heads{.experts = nullptr, .weights = nullptr, .n_rows = x.n_rows, .n_chosen = config_.n_heads};
  const ExpertProduct into_latent{weights_.key_up, {}, of_heads(taken, d_cached(), 0, d_latent)};
  step.backend.expert_matmul(of_heads<float>(made, d_head, 0, d_plain), all_heads, {&into_latent, 1});
  if (d_rope == 0) return taken;
  step.backend.activate(Activation::kIdentity, of_heads(made, d_head, d_plain, d_rope),
                        of_heads(taken, d_cached(), d_latent, d_rope));
  if (!config_.rope.inverse_frequencies.empty()) {
    // Heads that begin where their rotary part does: what comes after it does not turn, nor what lies beyond the row.
    const Matrix<float> from_rotary(taken.data + d_latent, taken.n_rows, taken.n_cols, taken.row_stride);
    step.backend.rope(from_rotary, step.batch.positions, step.batch.length, config_.rope,
                      static_cast<int32_t>(d_cached()));
  }
  return taken;
}

void LatentAttention::attend(const Step& step, const StepPages& pages, Matrix<const float> queries,
                             Matrix<float> recalled) const {
  const SeenKeys seen(step, config_, mask_.get());
  AttentionArgs args;
  args.q = queries;
  args.out = recalled;
  args.rows = seen.rows();
  args.sequences = pages.sequences;
  args.kv_dtype = pages.dtype;
  args.n_heads = config_.n_heads;
  args.n_kv_heads = 1;
  args.d_head_k = static_cast<int32_t>(d_cached());
  args.d_head_v = config_.d_latent;
  args.values_in_keys = true;
  args.scale = config_.scale;
  step.backend.attention(args, attention_stats(step.probes, step.layer));
}

void LatentAttention::remember(const Step& step, Matrix<const float> x) const {
  const Workspace::Scope scope(step.workspace);
  const StepPages pages(step);
  step.backend.store_kv(latents(step, x), step.batch.positions, pages.keys, pages.dtype, 1,
                        static_cast<int32_t>(d_cached()));
}

void LatentAttention::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const StepPages pages(step);
  step.backend.store_kv(latents(step, x), step.batch.positions, pages.keys, pages.dtype, 1,
                        static_cast<int32_t>(d_cached()));
  const auto recalled = step.workspace.matrix(x.n_rows, int64_t{config_.n_heads} * config_.d_latent);
  attend(step, pages, queries(step, x), recalled);
  const auto heads = step.workspace.matrix(x.n_rows, int64_t{config_.n_heads} * config_.d_head_v);
  const Routes all_heads{.experts = nullptr, .weights = nullptr, .n_rows = x.n_rows, .n_chosen = config_.n_heads};
  const ExpertProduct from_latent{weights_.value_up, {}, of_heads(heads, config_.d_head_v, 0, config_.d_head_v)};
  step.backend.expert_matmul(of_heads<const float>(recalled, config_.d_latent, 0, config_.d_latent), all_heads,
                             {&from_latent, 1});
  if (const StatSlot slot = step.probes.slot(Quantity::kAttentionOutput, step.layer)) {
    step.backend.group_norms(heads, config_.d_head_v, slot);
  }
  const Product output[] = {{weights_.output, weights_.output_bias, out}};
  step.backend.matmul(heads, output);
}

}  // namespace orrery
