#include "engine/blocks/rg_lru.h"

#include "engine/blocks/recurrence.h"
#include "engine/blocks/short_conv.h"

namespace orrery {

std::vector<StateSpec> RgLru::describe_state(DType) const {
  return {describe_conv_state(config_.conv),
          describe_matrix_state(config_.state, {.has_rate = true, .has_write = true})};
}

void RgLru::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  Backend& backend = step.backend;
  const int64_t n_rows = x.n_rows, width = config_.conv.n_channels;
  const auto channels = [&] { return step.workspace.matrix(n_rows, width); };
  const auto entering = channels(), gate = channels(), u = channels();
  const Product in[] = {{weights_.x, weights_.x_bias, entering}, {weights_.y, weights_.y_bias, gate}};
  backend.matmul(x, in);
  convolve(step, config_.conv, weights_.taps, weights_.taps_bias, entering, u);

  const auto input = channels(), rate = channels(), write = channels();
  const auto n_blocks = static_cast<int64_t>(weights_.input_gate.size());
  for (int64_t i = 0, n = width / n_blocks; i < n_blocks; ++i) {
    const auto block = static_cast<size_t>(i);
    const Product gates[] = {{weights_.input_gate[block], weights_.input_bias.rows(i, 1), input.cols(i * n, n)},
                             {weights_.forget_gate[block], weights_.forget_bias.rows(i, 1), rate.cols(i * n, n)}};
    backend.matmul(u.cols(i * n, n), gates);
  }
  backend.activate(Activation::kSigmoid, rate, rate);
  backend.input_strength(rate, weights_.log_decay, step.batch.positions, write);
  backend.activate_multiply(Activation::kSigmoid, input, u, u);

  MatrixStateArgs args;
  args.q = args.k = Matrix<const float>(weights_.one.f32(), n_rows, 1, 0);
  args.v = u;
  args.decay = {.rate = rate, .log_decay = {weights_.log_decay.f32(), static_cast<size_t>(width)}};
  args.write = write;
  args.out = u;
  recur(step, config_.state, args);
  backend.activate_multiply(config_.activation, gate, u, u);
  const Product to_stream[] = {{weights_.out, weights_.out_bias, out}};
  backend.matmul(u, to_stream);
}

}  // namespace orrery
