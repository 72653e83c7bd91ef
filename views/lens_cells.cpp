#include "views/lens_cells.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "views/bins.h"
#include "views/frame_rows.h"
#include "views/scene_builder.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kFields = 2;  // id, probability

const Probe& lens_probe() { return *find_probe("lens.top"); }

constexpr float kNoId = 2147483648.0f;  // and above: a file may hold anything

// An id and its probability; nothing where a visit was left out.
std::optional<LensCandidate> candidate_at(std::span<const float> top, size_t i) {
  if ((i + 1) * kFields > top.size() || !(top[i * kFields] >= 0 && top[i * kFields] < kNoId)) return std::nullopt;
  return LensCandidate{static_cast<int32_t>(top[i * kFields]), top[i * kFields + 1]};
}

}  // namespace

LensMap lens_map(const FrameHistory& history, StepRange steps, int max_cols) {
  LensMap map;
  map.steps = steps;
  map.layers = lens_probe().layers(history.info().config);
  const int64_t n_steps = std::max<int64_t>(steps.size(), 0);
  map.steps_per_col = bin_size(n_steps, max_cols);
  map.cols = static_cast<int>(ceil_div(n_steps, map.steps_per_col));
  const auto n_cols = static_cast<size_t>(map.cols);
  map.ids.assign(map.layers.size() * n_cols, -1);
  map.probabilities.assign(map.layers.size() * n_cols, kNan);
  std::vector<FrameRow> columns(n_cols);
  for_each_row(history, lens_probe(), steps.begin, steps.end, [&](const FrameRow& row) {
    columns[static_cast<size_t>((row.step - steps.begin) / map.steps_per_col)] = row;
  });
  for (size_t col = 0; col < n_cols; ++col) {
    const FrameRow& row = columns[col];
    if (row) {
      map.row = row;
      for (size_t i = 0; i < map.layers.size(); ++i) {
        const auto first = candidate_at(row.layer_f32(map.layers[i]), 0);
        if (!first) continue;
        map.ids[i * n_cols + col] = first->id;
        map.probabilities[i * n_cols + col] = first->probability;
      }
      continue;
    }
    const int64_t begin = steps.begin + static_cast<int64_t>(col) * map.steps_per_col;
    if (map.missing.empty() || map.missing.back().end != begin) map.missing.push_back({begin, begin});
    map.missing.back().end = begin + map.steps_per_col;
  }
  return map;
}

std::vector<LensCandidate> lens_candidates(const FrameHistory& history, int32_t layer, int64_t step) {
  std::vector<LensCandidate> candidates;
  if (step < 0 || layer < 0) return candidates;
  const FrameRow row = history.row(lens_probe(), step);
  if (!row) return candidates;
  const std::span<const float> top = row.layer_f32(layer);
  for (size_t i = 0; i * kFields < top.size(); ++i) {
    if (const auto one = candidate_at(top, i)) candidates.push_back(*one);
  }
  return candidates;
}

LensTrace lens_trace(const FrameHistory& history, int32_t id, int64_t step) {
  LensTrace trace;
  trace.layers = lens_probe().layers(history.info().config);
  trace.ranks.assign(trace.layers.size(), -1);
  trace.probabilities.assign(trace.layers.size(), kNan);
  if (step < 0) return trace;
  trace.row = history.row(lens_probe(), step);
  if (!trace.row) return trace;
  for (size_t i = 0; i < trace.layers.size(); ++i) {
    const std::span<const float> top = trace.row.layer_f32(trace.layers[i]);
    if (!candidate_at(top, 0)) continue;
    trace.ranks[i] = 0;
    for (size_t at = 0; at * kFields < top.size(); ++at) {
      const auto one = candidate_at(top, at);
      if (!one || one->id != id) continue;
      trace.ranks[i] = static_cast<int>(at) + 1;
      trace.probabilities[i] = one->probability;
      break;
    }
  }
  return trace;
}

FollowedToken followed_token(const FrameHistory& history, const Selection& selection) {
  using Why = FollowedToken::Why;
  if (selection.token >= 0) return {selection.token, Why::kPinned};
  const int64_t next = selection.step + 1;
  if (selection.step >= 0 && next < history.n_steps()) {
    const int32_t id = history.tokens()[static_cast<size_t>(next)].id;
    if (id >= 0) return {id, Why::kCameNext};
  }
  const std::vector<int32_t> layers = lens_probe().layers(history.info().config);
  // A token that has left a loop says nothing in the iterations behind it.
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    const std::vector<LensCandidate> said = lens_candidates(history, *layer, selection.step);
    if (!said.empty()) return {said.front().id, Why::kLikeliest};
  }
  return {};
}

StepRange lens_steps(const FrameHistory& history, const ViewState& state, int64_t most) {
  const int64_t n = history.n_processed();
  if (!state.steps.all()) return visible_range(state.steps, n);
  most = std::clamp<int64_t>(most, 1, std::max<int64_t>(n, 1));
  const int64_t step = std::clamp<int64_t>(resolve(history, state).step, 0, std::max<int64_t>(n - 1, 0));
  if (most == 1) return {step, std::min(step + 1, n)};
  const int64_t half = most / 2;
  const int64_t begin = std::clamp<int64_t>((step / half - 1) * half, 0, std::max<int64_t>(n - most, 0));
  return {begin, std::min(begin + most, n)};
}

}  // namespace orrery
