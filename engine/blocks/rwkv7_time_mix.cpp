#include "engine/blocks/rwkv7_time_mix.h"

#include "engine/blocks/recurrence.h"
#include "engine/blocks/token_shift.h"

namespace orrery {

namespace {

enum class Between : uint8_t { kNothing, kTanh, kSigmoid };

// out = up(between(down x)) + bias
void map_low_rank(const Step& step, const Rwkv7LowRank& weights, Between between, Matrix<const float> x,
                  Matrix<float> out) {
  const Workspace::Scope scope(step.workspace);
  const auto narrow = step.workspace.matrix(x.n_rows, weights.map.down.n_rows());
  const Product down[] = {{weights.map.down, {}, narrow}};
  step.backend.matmul(x, down);
  if (between == Between::kTanh) step.backend.soft_cap(narrow, 1.0f);
  if (between == Between::kSigmoid) step.backend.activate(Activation::kSigmoid, narrow, narrow);
  const Product up[] = {{weights.map.up, weights.bias, out}};
  step.backend.matmul(narrow, up);
}

// out = x * weight, the same for every row; weight [n_cols] f32.
void scale_columns(const Step& step, Matrix<const float> x, const TensorView& weight, Matrix<float> out) {
  const Matrix<const float> rows(weight.f32(), x.n_rows, x.n_cols, 0);
  step.backend.activate_multiply(Activation::kIdentity, x, rows, out);
}

}  // namespace

std::vector<StateSpec> Rwkv7TimeMix::describe_state(DType) const {
  const HistoryParts history{.rate_by_channel = true, .has_rate = true, .erases_by_pair = true};
  return {describe_token_shift(weights_.r.n_cols()), describe_matrix_state(config_.state, history)};
}

void Rwkv7TimeMix::mix_values(const Step& step, Matrix<const float> x, Matrix<float> v) const {
  if (config_.is_first) return step.backend.activate(Activation::kIdentity, v, step.carried);
  const Workspace::Scope scope(step.workspace);
  const auto share = step.workspace.matrix(v.n_rows, v.n_cols), change = step.workspace.matrix(v.n_rows, v.n_cols);
  map_low_rank(step, weights_.value, Between::kNothing, x, share);
  step.backend.activate(Activation::kIdentity, step.carried, change);
  step.backend.add(change, v, -1.0f);
  step.backend.activate_multiply(Activation::kSigmoid, share, change, change);
  step.backend.add(v, change, 1.0f);
}

void Rwkv7TimeMix::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  Backend& backend = step.backend;
  const MatrixStateSizes& sizes = config_.state.sizes;
  const int64_t n_rows = x.n_rows, d_model = x.n_cols;
  const int64_t key_width = weights_.r.n_rows(), value_width = weights_.v.n_rows();
  const auto keys = [&] { return step.workspace.matrix(n_rows, key_width); };
  const auto values = [&] { return step.workspace.matrix(n_rows, value_width); };

  const auto mixed = step.workspace.matrix(n_rows, 6 * d_model);
  shift_tokens(step, ShiftPlace::kTimeMix, weights_.mix, x, mixed);
  const auto mixture = [&](int64_t i) { return mixed.cols(i * d_model, d_model); };
  const auto r = keys(), decay = keys(), k = keys(), rate = keys();
  const auto v = values(), gate = values();
  const Product to_r[] = {{weights_.r, {}, r}}, to_k[] = {{weights_.k, {}, k}}, to_v[] = {{weights_.v, {}, v}};
  backend.matmul(mixture(0), to_r);
  map_low_rank(step, weights_.decay, Between::kTanh, mixture(1), decay);
  backend.activate(Activation::kSigmoid, decay, decay);
  backend.matmul(mixture(2), to_k);
  backend.matmul(mixture(3), to_v);
  mix_values(step, mixture(3), v);
  map_low_rank(step, weights_.rate, Between::kNothing, mixture(4), rate);
  backend.activate(Activation::kSigmoid, rate, rate);
  map_low_rank(step, weights_.gate, Between::kSigmoid, mixture(5), gate);

  const auto erase_read = keys(), erase_write = keys(), part = keys();
  scale_columns(step, k, weights_.erase_key, erase_read);
  const Matrix<float> heads(erase_read.data, n_rows * sizes.n_heads, sizes.d_key);
  backend.rms_norm(heads, weights_.unit, config_.unit_epsilon, heads);
  backend.activate_multiply(Activation::kIdentity, rate, erase_read, erase_write);
  scale_columns(step, k, weights_.key_rate, part);
  backend.activate_multiply(Activation::kIdentity, rate, part, part);
  scale_columns(step, k, weights_.key_rest, k);
  backend.add(k, part, 1.0f);

  const auto y = values();
  MatrixStateArgs args;
  args.q = r;
  args.k = k;
  args.v = v;
  args.decay = {.rate = decay, .log_decay = {weights_.log_decay.f32(), static_cast<size_t>(sizes.n_heads)}};
  args.erase = StateErase::kPair;
  args.erase_read = erase_read;
  args.erase_write = erase_write;
  args.out = y;
  recur(step, config_.state, args);
  const Matrix<float> read(y.data, n_rows * sizes.n_heads, sizes.d_value);
  backend.layer_norm(read, weights_.norm, weights_.norm_bias, config_.norm_epsilon, read);

  const auto strength = step.workspace.matrix(n_rows, sizes.n_heads);
  scale_columns(step, r, weights_.bonus, part);
  backend.group_dots(part, k, strength);
  backend.gate_groups(Activation::kIdentity, strength, v);
  backend.add(y, v, 1.0f);
  backend.activate_multiply(Activation::kIdentity, gate, y, y);
  const Product to_stream[] = {{weights_.out, {}, out}};
  backend.matmul(y, to_stream);
}

}  // namespace orrery
