#include "engine/blocks/recurrence.h"

namespace orrery {

namespace {

MatrixStateStats stats_of(const Step& step, const MatrixStateConfig& config) {
  MatrixStateStats stats;
  stats.n = config.n_stat_heads;
  stats.norm = step.probes.slot(Quantity::kStateNorm, step.layer);
  stats.write = step.probes.slot(Quantity::kStateWrite, step.layer);
  stats.erase = step.probes.slot(Quantity::kStateErase, step.layer);
  stats.read = step.probes.slot(Quantity::kStateRead, step.layer);
  stats.keep = step.probes.slot(Quantity::kStateKeep, step.layer);
  return stats;
}

int64_t width_of(Matrix<const float> x) { return x.data == nullptr ? 0 : x.n_cols; }

// The history of a sequence, [n_tokens, key | rate | write | what erases is read by, and written].
struct History {
  float* data = nullptr;
  int64_t k_width = 0, rate_width = 0, write_width = 0, erase_width = 0;

  int64_t width() const { return k_width + rate_width + write_width + 2 * erase_width; }
  Matrix<float> part(int64_t n_tokens, int64_t begin, int64_t n_cols) const {
    return {n_cols == 0 ? nullptr : data + begin, n_tokens, n_cols, width()};
  }
  Matrix<float> k(int64_t n) const { return part(n, 0, k_width); }
  Matrix<float> rate(int64_t n) const { return part(n, k_width, rate_width); }
  Matrix<float> write(int64_t n) const { return part(n, k_width + rate_width, write_width); }
  Matrix<float> erase_read(int64_t n) const { return part(n, k_width + rate_width + write_width, erase_width); }
  Matrix<float> erase_write(int64_t n) const {
    return part(n, k_width + rate_width + write_width + erase_width, erase_width);
  }
};

void copy_rows(Backend& backend, Matrix<const float> from, Matrix<float> to, int64_t first) {
  for (int64_t r = 0; to.data != nullptr && r < from.n_rows; ++r) {
    backend.copy(reinterpret_cast<std::byte*>(to.row(first + r)), reinterpret_cast<const std::byte*>(from.row(r)),
                 static_cast<size_t>(from.n_cols) * sizeof(float));
  }
}

// Appends what the rows of a sequence put into the state.
void remember(const Step& step, const MatrixStateArgs& args, const StateRows& rows, const History& history,
              int64_t first) {
  const int64_t n = rows.end - rows.begin, n_tokens = first + n;
  const auto rows_of = [&](Matrix<const float> x) { return x.data == nullptr ? x : x.rows(rows.begin, n); };
  copy_rows(step.backend, rows_of(args.k), history.k(n_tokens), first);
  copy_rows(step.backend, rows_of(args.decay.rate), history.rate(n_tokens), first);
  copy_rows(step.backend, rows_of(args.write), history.write(n_tokens), first);
  copy_rows(step.backend, rows_of(args.erase_read), history.erase_read(n_tokens), first);
  copy_rows(step.backend, rows_of(args.erase_write), history.erase_write(n_tokens), first);
}

void measure_rows(const Step& step, const MatrixStateConfig& config, const MatrixStateArgs& args, const StateRows& rows,
                  const History& history, int64_t first) {
  const StatSlot slot = step.probes.slot(Quantity::kStateRow, step.layer);
  if (!slot) return;
  const int64_t n = rows.end - rows.begin, n_tokens = first + n;
  StateRowArgs wanted;
  wanted.sizes = args.sizes;
  wanted.q = args.q.rows(rows.begin, n);
  wanted.history.k = history.k(n_tokens);
  if (history.rate_width > 0) wanted.history.rate = history.rate(n_tokens);
  if (history.write_width > 0) wanted.history.write = history.write(n_tokens);
  wanted.history.erase_read = history.erase_read(n_tokens);
  wanted.history.erase_write = history.erase_write(n_tokens);
  wanted.log_decay = args.decay.log_decay;
  wanted.erase = args.erase;
  wanted.read_scale = args.read_scale;
  wanted.first = first;
  wanted.n_stat_heads = config.n_stat_heads;
  wanted.stat_heads = step.probes.field(Quantity::kStateRow)->heads;
  wanted.n_keys = step.probes.n_keys();
  step.backend.matrix_state_rows(wanted, {slot.row(rows.begin), slot.row_stride});
}

}  // namespace

StateSpec describe_matrix_state(const MatrixStateConfig& config, const HistoryParts& history) {
  const MatrixStateSizes& sizes = config.sizes;
  StateSpec spec;
  spec.kind = StateKind::kMatrixState;
  spec.shape = {sizes.n_heads, sizes.d_value, sizes.d_key};
  const int64_t key_width = int64_t{sizes.n_groups} * sizes.d_key;
  spec.history_width = key_width;
  if (history.has_rate) spec.history_width += int64_t{sizes.n_heads} * (history.rate_by_channel ? sizes.d_key : 1);
  if (history.has_write) spec.history_width += sizes.n_heads;
  if (history.erases_by_pair) spec.history_width += 2 * key_width;
  return spec;
}

void recur(const Step& step, const MatrixStateConfig& config, MatrixStateArgs args) {
  const std::vector<StateRows> sequences = state_rows(step, StateKind::kMatrixState);
  args.sizes = config.sizes;
  args.sequences = sequences;
  // Implied rows first: the output may take the place of the values, and more may be overwritten.
  const ProbePlan* plan = step.probes.plan();
  if (plan != nullptr && plan->keeps_history) {
    for (const StateRows& rows : sequences) {
      const auto begin = static_cast<size_t>(rows.begin);
      Cache& cache = *step.batch.caches[static_cast<size_t>(step.batch.sequences[begin])];
      const History history{.data = cache.history(step.layer, step.iteration),
                            .k_width = width_of(args.k),
                            .rate_width = width_of(args.decay.rate),
                            .write_width = width_of(args.write),
                            .erase_width = width_of(args.erase_read)};
      remember(step, args, rows, history, step.batch.positions[begin]);
      measure_rows(step, config, args, rows, history, step.batch.positions[begin]);
    }
  }
  step.backend.matrix_state(args, stats_of(step, config));
}

}  // namespace orrery
