#include "engine/layer_stack.h"

#include <algorithm>
#include <vector>

namespace orrery {

void LayerStack::embed(const Batch& batch, Matrix<float> x) {
  const ModelParts& parts = model_.parts();
  model_.backend()->embed(parts.embedding, batch.tokens, parts.config.embedding_scale, x);
  if (parts.positions.empty()) return;
  const Workspace::Scope scope(workspace_);
  const auto learned = workspace_.matrix(x.n_rows, x.n_cols);
  const std::vector<int32_t> rows(batch.positions.begin(), batch.positions.end());  // Generator::feed keeps them inside
  model_.backend()->embed(parts.positions, rows, 1.0f, learned);
  model_.backend()->add(x, learned, 1.0f);
}

Step LayerStack::step_of(const Batch& rows, int64_t first_row, int32_t visit, const ProbeBuffer& probes) {
  const ModelConfig& config = model_.config();
  return {.backend = *model_.backend(),
          .workspace = workspace_,
          .batch = rows,
          .probes = probes,
          .layer = visit,
          .iteration = config.layers[static_cast<size_t>(visit)].iteration,
          .n_iterations = config.loop.n_iterations,
          .carried = carried_.rows(first_row, rows.n_rows())};
}

Step LayerStack::silent_step(const Batch& rows, int64_t first_row, int32_t visit) {
  return step_of(rows, first_row, visit, nothing_);
}

void LayerStack::visit(const Batch& batch, int64_t first_row, int32_t begin, int32_t end, Matrix<float> x,
                       Measured measured) {
  const bool measures = measured == Measured::kAsPlanned;
  const Batch rows = batch.rows(first_row, x.n_rows);
  probes_.set_first_row(first_row);
  for (int32_t visit = begin; visit < end; ++visit) {
    const auto index = static_cast<size_t>(model_.config().layers[static_cast<size_t>(visit)].index);
    model_.parts().blocks[index]->forward(step_of(rows, first_row, visit, measures ? probes_ : nothing_), x);
    if (measures) measure(x, visit);
  }
  probes_.set_first_row(0);
}

void LayerStack::remember(const Batch& batch, int64_t first_row, int32_t visit, Matrix<const float> x) {
  const Batch rows = batch.rows(first_row, x.n_rows);
  const auto index = static_cast<size_t>(model_.config().layers[static_cast<size_t>(visit)].index);
  model_.parts().blocks[index]->remember(silent_step(rows, first_row, visit), x);
}

void LayerStack::measure(Matrix<const float> x, int32_t visit) {
  if (const StatSlot slot = probes_.slot(Quantity::kResidualNorm, visit)) {
    model_.backend()->group_norms(x, x.n_cols, slot);
  }
  fill_lens(x, visit);
}

void LayerStack::fill_lens(Matrix<const float> x, int32_t visit) {
  constexpr int32_t kLensTop = 8;  // lens.top's definition
  const StatSlot slot = probes_.slot(Quantity::kLensTop, visit);
  if (!slot) return;
  for (int64_t first = 0; first < x.n_rows; first += kLogitRows) {
    const Workspace::Scope scope(workspace_);
    const int64_t count = std::min(kLogitRows, x.n_rows - first);
    const Matrix<float> logits = workspace_.matrix(count, model_.config().vocab_size);
    unembed(x.rows(first, count), false, logits);
    OutputStats stats;
    stats.top = from_row(slot, first);
    stats.n_top = kLensTop;
    stats.log_probability = false;
    model_.backend()->output_stats(logits, stats);
  }
}

void LayerStack::unembed(Matrix<const float> x, bool is_normed, Matrix<float> logits) {
  const Workspace::Scope scope(workspace_);
  const ModelParts& parts = model_.parts();
  Backend& backend = *model_.backend();
  Matrix<const float> normed = x;
  if (!is_normed) {
    const Matrix<float> made = workspace_.matrix(x.n_rows, x.n_cols);
    if (parts.output_norm_kind == NormKind::kLayer) {
      backend.layer_norm(x, parts.output_norm, parts.output_norm_bias, parts.config.norm_epsilon, made);
    } else {
      backend.rms_norm(x, parts.output_norm, parts.config.norm_epsilon, made);
    }
    normed = made;
  }
  const Product product[] = {{parts.output, {}, logits}};
  backend.matmul(normed, product);
  if (parts.config.logit_scale != 1.0f) backend.scale(logits, parts.config.logit_scale);
  if (parts.config.logit_cap > 0.0f) backend.soft_cap(logits, parts.config.logit_cap);
}

}  // namespace orrery
