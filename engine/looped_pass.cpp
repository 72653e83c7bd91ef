#include "engine/looped_pass.h"

#include <algorithm>
#include <limits>

namespace orrery {

namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

void copy(Backend& backend, Matrix<const float> from, Matrix<float> to) {
  backend.activate(Activation::kIdentity, from, to);
}

}  // namespace

Result<void> LoopedPass::reserve(int64_t n_rows) {
  const auto n_bytes = static_cast<size_t>(n_rows * loop().n_iterations * kFields) * sizeof(float);
  if (trace_ != nullptr && trace_->n_bytes() >= n_bytes) return {};
  ORRERY_ASSIGN_OR_RETURN(trace_, model_.backend()->allocate_readback(n_bytes));
  return {};
}

int64_t LoopedPass::scratch_floats(int64_t n_rows) const {
  if (!loop().any()) return 0;
  // Entry, before, change, result, and copies that go through the layers behind or are only remembered.
  const int64_t streams = 6 * model_.config().d_model;
  const int64_t said = loop().rule == ExitRule::kDivergence ? 2 * model_.config().vocab_size : 0;
  return (goes_row_by_row() ? 1 : n_rows) * (streams + said);
}

Result<void> LoopedPass::run(const Batch& batch, Wanted wanted, Matrix<float> x) {
  wanted_ = wanted;
  n_rows_ = x.n_rows;
  depths_.assign(static_cast<size_t>(n_rows_), loop().n_iterations);
  if (!goes_row_by_row()) return run_part(batch, 0, x);
  for (int64_t row = 0; row < n_rows_; ++row) ORRERY_RETURN_IF_ERROR(run_part(batch, row, x.rows(row, 1)));
  return {};
}

Result<void> LoopedPass::run_part(const Batch& batch, int64_t first, Matrix<float> x) {
  const Workspace::Scope scope(workspace_);
  const auto stream = [&] { return workspace_.matrix(x.n_rows, x.n_cols); };
  Part part{.batch = batch,
            .first = first,
            .x = x,
            .entry = stream(),
            .before = stream(),
            .change = stream(),
            .result = stream(),
            .said = {},
            .said_before = {},
            .runs = {{.begin = 0, .end = x.n_rows}}};
  if (loop().rule == ExitRule::kDivergence) {
    part.said = workspace_.matrix(x.n_rows, model_.config().vocab_size);
    part.said_before = workspace_.matrix(x.n_rows, model_.config().vocab_size);
  }
  ORRERY_RETURN_IF_ERROR(run_loop(part));
  stack_.visit(batch, first, first_behind(), model_.config().n_layers(), x);
  return {};
}

Result<void> LoopedPass::run_loop(Part& part) {
  const LoopBody& body = *model_.parts().loop;
  Backend& backend = *model_.backend();
  copy(backend, part.x, part.entry);
  const Batch rows = part.batch.rows(part.first, part.x.n_rows);
  body.begin(stack_.silent_step(rows, part.first, loop().begin), part.entry, part.x);
  for (int32_t i = 0; i < loop().n_iterations; ++i) {
    copy(backend, part.x, part.before);
    run_layers(part, i);
    for (const RowRun& run : part.runs) {
      if (run.active) measure(part, run, i);
    }
    const bool may_leave = loop().rule != ExitRule::kFixed && i + 1 < loop().n_iterations;
    if (!may_leave) continue;
    if (loop().rule == ExitRule::kDivergence) say(part, i);
    const Fetch brought[] = {trace()};
    ORRERY_RETURN_IF_ERROR(backend.finish(brought));
    let_leave(part, i);
  }
  take_results(part);
  return {};
}

// One iteration: the active runs through the body's hooks and the layers, the others into the layers' memory alone.
void LoopedPass::run_layers(Part& part, int32_t iteration) {
  const LoopBody& body = *model_.parts().loop;
  const auto around = [&](const auto& hook) {
    for (const RowRun& run : part.runs) {
      if (!run.active) continue;
      const int64_t n = run.end - run.begin;
      const Batch rows = part.batch.rows(part.first + run.begin, n);
      hook(stack_.silent_step(rows, part.first + run.begin, visit_of(loop().begin, iteration)),
           [&](auto m) { return m.rows(run.begin, n); });
    }
  };
  around([&](const Step& step, const auto& of) { body.enter(step, of(part.entry), of(part.x)); });
  for (int32_t layer = loop().begin; layer < loop().end; ++layer) {
    const int32_t visit = visit_of(layer, iteration);
    for (const RowRun& run : part.runs) {
      if (run.active) {
        stack_.visit(part.batch, part.first + run.begin, visit, visit + 1, part.x.rows(run.begin, run.end - run.begin));
      } else {
        fill(part, run, visit);
      }
    }
  }
  around([&](const Step& step, const auto& of) { body.leave(step, of(part.before), of(part.x)); });
}

void LoopedPass::fill(Part& part, const RowRun& run, int32_t visit) {
  if (loop().cache == LoopCache::kShared) return;  // what the last iteration left is there
  const int64_t first = part.first + run.begin, n = run.end - run.begin;
  if (loop().fill == ExitFill::kFrozen) return stack_.remember(part.batch, first, visit, part.x.rows(run.begin, n));
  for (int64_t row = first; row < first + n; ++row) {
    const auto r = static_cast<size_t>(row);
    Cache& cache = *part.batch.caches[static_cast<size_t>(part.batch.sequences[r])];
    cache.carry(visit - n_layers(), visit, part.batch.positions[r]);
  }
}

void LoopedPass::measure(Part& part, const RowRun& run, int32_t iteration) {
  const int64_t first = part.first + run.begin, n = run.end - run.begin;
  const auto of = [&](auto matrix) { return matrix.rows(run.begin, n); };
  if (wanted_.changes || loop().rule == ExitRule::kStep) {
    const RowChangeArgs args{
        .before = of(part.before), .after = of(part.x), .change = of(part.change), .has_earlier = iteration > 0};
    model_.backend()->row_change(args, slot(kChange, first, iteration), slot(kCosine, first, iteration));
  }
  if (loop().has_gate && (wanted_.gate || loop().rule == ExitRule::kGate)) {
    const StatSlot gates = slot(kGate, first, iteration);
    const Batch rows = part.batch.rows(first, n);
    model_.parts().loop->gate(stack_.silent_step(rows, first, visit_of(loop().begin, iteration)), of(part.x),
                              {gates.data, n, 1, gates.row_stride});
  }
}

// What the model would say after this iteration, and how far that is from what it would have said before.
void LoopedPass::say(Part& part, int32_t iteration) {
  const Workspace::Scope scope(workspace_);
  Backend& backend = *model_.backend();
  const auto y = workspace_.matrix(part.x.n_rows, part.x.n_cols);
  copy(backend, part.x, y);
  // Layers behind the loop write what they remember of the row; the last time that it goes through them stays.
  stack_.visit(part.batch, part.first, first_behind(), model_.config().n_layers(), y, LayerStack::Measured::kNothing);
  stack_.unembed(y, model_.reads_normed(), part.said);
  if (iteration > 0) {
    backend.row_divergence(part.said_before, part.said, slot(kDivergence, part.first, iteration));
  }
  std::swap(part.said, part.said_before);
}

bool LoopedPass::leaves(int64_t row, int32_t iteration) const {
  switch (loop().rule) {
    case ExitRule::kFixed:
      return false;
    case ExitRule::kStep:
      return brought(kChange, row, iteration) < loop().threshold;
    case ExitRule::kDivergence:
      return iteration > 0 && brought(kDivergence, row, iteration) < loop().threshold;
    case ExitRule::kGate:
      break;
  }
  float sum = 0.0f, rest = 1.0f;
  for (int32_t i = 0; i <= iteration; ++i) {
    const float gate = brought(kGate, row, i);
    sum += gate * rest;
    rest *= 1.0f - gate;
  }
  return sum >= loop().threshold;
}

void LoopedPass::let_leave(Part& part, int32_t iteration) {
  for (int64_t r = 0; r < part.x.n_rows; ++r) {
    int32_t& depth = depths_[static_cast<size_t>(part.first + r)];
    if (depth < loop().n_iterations || !leaves(part.first + r, iteration)) continue;
    depth = iteration + 1;
    if (loop().fill == ExitFill::kComputed) copy(*model_.backend(), part.x.rows(r, 1), part.result.rows(r, 1));
  }
  if (loop().fill == ExitFill::kComputed) return;
  part.runs.clear();
  for (int64_t r = 0; r < part.x.n_rows; ++r) {
    const bool active = depths_[static_cast<size_t>(part.first + r)] == loop().n_iterations;
    if (part.runs.empty() || part.runs.back().active != active) part.runs.push_back({r, r, active});
    part.runs.back().end = r + 1;
  }
}

void LoopedPass::take_results(Part& part) {
  if (loop().fill != ExitFill::kComputed) return;
  for (int64_t r = 0; r < part.x.n_rows; ++r) {
    if (depths_[static_cast<size_t>(part.first + r)] == loop().n_iterations) continue;
    copy(*model_.backend(), part.result.rows(r, 1), part.x.rows(r, 1));
  }
}

StatSlot LoopedPass::slot(Field field, int64_t row, int32_t iteration) const {
  const int64_t row_stride = loop().n_iterations * kFields;
  auto* const begin = reinterpret_cast<float*>(trace_->written());
  return {begin + row * row_stride + iteration * kFields + field, row_stride};
}

float LoopedPass::brought(Field field, int64_t row, int32_t iteration) const {
  const auto* const begin = reinterpret_cast<const float*>(trace_->read());
  return begin[(row * loop().n_iterations + iteration) * kFields + field];
}

Fetch LoopedPass::trace() const {
  return {trace_.get(), static_cast<size_t>(n_rows_ * loop().n_iterations * kFields) * sizeof(float)};
}

float LoopedPass::change(int64_t row, int32_t iteration) const {
  return iteration < n_computed(row) ? brought(kChange, row, iteration) : kMissing;
}

float LoopedPass::cosine(int64_t row, int32_t iteration) const {
  return iteration < n_computed(row) ? brought(kCosine, row, iteration) : kMissing;
}

std::vector<float> LoopedPass::exit_probabilities(int64_t row) const {
  std::vector<float> probabilities(static_cast<size_t>(loop().n_iterations), kMissing);
  float rest = 1.0f;
  for (int32_t i = 0; i < n_computed(row); ++i) {
    const float gate = brought(kGate, row, i);
    probabilities[static_cast<size_t>(i)] = i + 1 < n_computed(row) ? gate * rest : rest;
    rest *= 1.0f - gate;
  }
  return probabilities;
}

int32_t LoopedPass::n_computed(int64_t row) const {
  return loop().fill == ExitFill::kComputed ? loop().n_iterations : depths_[static_cast<size_t>(row)];
}

}  // namespace orrery
