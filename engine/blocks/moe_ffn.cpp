#include "engine/blocks/moe_ffn.h"

namespace orrery {

Routes MoeFfn::choose(const Step& step, Matrix<const float> x) const {
  const int32_t n_chosen = config_.router.n_chosen;
  Routes routes;
  routes.n_rows = x.n_rows;
  routes.n_chosen = n_chosen;
  routes.experts = reinterpret_cast<int32_t*>(step.workspace.matrix(x.n_rows, n_chosen).data);
  routes.weights = step.workspace.matrix(x.n_rows, n_chosen).data;
  const auto logits = step.workspace.matrix(x.n_rows, config_.router.n_experts);
  const Product score[] = {{weights_.router, weights_.router_bias, logits}};
  step.backend.matmul(x, score);
  RouterStats stats;
  stats.experts = step.probes.slot(Quantity::kMoeExperts, step.layer);
  stats.weights = step.probes.slot(Quantity::kMoeWeights, step.layer);
  stats.margin = step.probes.slot(Quantity::kMoeMargin, step.layer);
  stats.entropy = step.probes.slot(Quantity::kMoeEntropy, step.layer);
  step.backend.route(logits, weights_.selection_bias, config_.router, routes, stats);
  return routes;
}

void MoeFfn::run_experts(const Step& step, const Routes& routes, Matrix<const float> x, Matrix<float> out) const {
  const int64_t n_choices = routes.n_rows * routes.n_chosen;
  const auto up = step.workspace.matrix(n_choices, config_.d_expert);
  const ExpertProduct to_up{weights_.up, weights_.up_bias, up};
  if (weights_.gate.empty()) {
    step.backend.expert_matmul(x, routes, {&to_up, 1});
    step.backend.activate(activation_, up, up);
  } else {
    const auto gate = step.workspace.matrix(n_choices, config_.d_expert);
    const ExpertProduct inner[] = {{weights_.gate, weights_.gate_bias, gate}, to_up};
    step.backend.expert_matmul(x, routes, inner);
    if (config_.clipped.limit > 0.0f) {
      step.backend.clipped_multiply(config_.clipped, gate, up, up);
    } else {
      step.backend.activate_multiply(activation_, gate, up, up);
    }
  }
  const auto down = step.workspace.matrix(n_choices, out.n_cols);
  const ExpertProduct outer[] = {{weights_.down, weights_.down_bias, down}};
  step.backend.expert_matmul(up, routes, outer);
  step.backend.sum_experts(down, routes, out);
}

void MoeFfn::add_shared(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  if (shared_ == nullptr) return;
  const auto shared = step.workspace.matrix(out.n_rows, out.n_cols);
  shared_->forward(step, x, shared);
  if (!weights_.shared_gate.empty()) {
    const auto gate = step.workspace.matrix(x.n_rows, 1);
    const Product product[] = {{weights_.shared_gate, {}, gate}};
    step.backend.matmul(x, product);
    step.backend.gate_groups(Activation::kSigmoid, gate, shared);
  }
  step.backend.add(out, shared, 1.0f);
}

void MoeFfn::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const Routes routes = choose(step, x);
  if (weights_.to_latent.empty()) {
    run_experts(step, routes, x, out);
  } else {
    const int64_t d_latent = weights_.to_latent.n_rows();
    const auto latent = step.workspace.matrix(x.n_rows, d_latent);
    const auto answer = step.workspace.matrix(x.n_rows, d_latent);
    const Product into[] = {{weights_.to_latent, weights_.to_latent_bias, latent}};
    step.backend.matmul(x, into);
    run_experts(step, routes, latent, answer);
    const Product back[] = {{weights_.from_latent, weights_.from_latent_bias, out}};
    step.backend.matmul(answer, back);
  }
  add_shared(step, x, out);
}

}  // namespace orrery
