#include "engine/blocks/shared_transformer_block.h"

namespace orrery {

void SharedTransformerBlock::run_transformer(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t d_model = x.n_cols;
  const auto both = step.workspace.matrix(x.n_rows, 2 * d_model);
  step.backend.activate(Activation::kIdentity, x, both.cols(0, d_model));
  step.backend.embed(weights_.embedding, step.batch.tokens, embedding_scale_, both.cols(d_model, d_model));
  step.backend.rms_norm(both, weights_.attention_norm, norm_epsilon_, both);
  attention_->forward(step, both, out);
  step.backend.rms_norm(out, weights_.ffn_norm, norm_epsilon_, out);
  const auto answer = step.workspace.matrix(x.n_rows, d_model);
  feed_forward_->forward(step, out, answer);
  const Product project[] = {{weights_.project, {}, out}};
  step.backend.matmul(answer, project);
}

void SharedTransformerBlock::forward(const Step& step, Matrix<float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
  run_transformer(step, x, normed);
  step.backend.add(normed, x, 1.0f);
  step.backend.rms_norm(normed, weights_.mixer_norm, norm_epsilon_, normed);
  mixer_->forward(step, normed, delta);
  step.backend.add(x, delta, 1.0f);
}

std::vector<StateSpec> SharedTransformerBlock::describe_state(DType kv_dtype) const {
  std::vector<StateSpec> all = attention_->describe_state(kv_dtype);
  for (const StateSpec& spec : mixer_->describe_state(kv_dtype)) all.push_back(spec);
  return all;
}

}  // namespace orrery
