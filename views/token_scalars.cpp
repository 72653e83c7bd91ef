#include "views/token_scalars.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "views/frame_rows.h"
#include "views/half_life.h"
#include "views/routing_cells.h"
#include "views/scene_builder.h"
#include "views/what_if.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int64_t end_of(int64_t begin, std::span<float> out) { return begin + static_cast<int64_t>(out.size()); }

void fill_plain(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace&,
                std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out),
               [&](const FrameRow& row) { out[static_cast<size_t>(row.step - begin)] = row.f32()[0]; });
}

void fill_layer(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace& place,
                std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    const std::span<const float> values = row.layer_f32(place.layer);
    if (!values.empty()) out[static_cast<size_t>(row.step - begin)] = values[0];
  });
}

void fill_mean_of_heads(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace& place,
                        std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    float sum = 0;
    int n = 0;
    for (const float value : row.layer_f32(place.layer)) {
      if (std::isnan(value)) continue;
      sum += value;
      ++n;
    }
    if (n > 0) out[static_cast<size_t>(row.step - begin)] = sum / static_cast<float>(n);
  });
}

// Over the layer's heads together: the root of the sum of squares, as of one matrix.
void fill_norm_of_heads(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace& place,
                        std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    double sum = 0;
    bool any = false;
    for (const float value : row.layer_f32(place.layer)) {
      if (std::isnan(value)) continue;
      sum += static_cast<double>(value) * static_cast<double>(value);
      any = true;
    }
    if (any) out[static_cast<size_t>(row.step - begin)] = static_cast<float>(std::sqrt(sum));
  });
}

float keep_of_heads(const FrameRow& row, int32_t layer) {
  const std::span<const float> values = row.layer_f32(layer);
  const size_t stride = row.frame->probe->fields.size();
  double logs = 0;
  int n = 0;
  for (size_t i = 0; i < values.size(); i += stride) {
    if (std::isnan(values[i])) continue;
    logs += std::log(static_cast<double>(values[i]));
    ++n;
  }
  return n == 0 ? kNan : static_cast<float>(std::exp(logs / n));
}

void fill_keep(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace& place,
               std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    out[static_cast<size_t>(row.step - begin)] = keep_of_heads(row, place.layer);
  });
}

void fill_half_life(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace& place,
                    std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    out[static_cast<size_t>(row.step - begin)] = half_life(keep_of_heads(row, place.layer));
  });
}

// The weight of one expert: 0 for tokens that do not go to it.
void fill_expert(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace& place,
                 std::span<float> out) {
  if (place.expert < 0) return;
  FrameRow weights;
  for_each_row(history, *find_probe("moe.experts"), begin, end_of(begin, out), [&](const FrameRow& row) {
    if (!weights || row.step >= weights.frame->step_end) weights = history.row(probe, row.step);
    if (!weights) return;
    weights.step = row.step;
    const float weight = weight_of(row.layer_i32(place.layer), weights.layer_f32(place.layer), place.expert);
    out[static_cast<size_t>(row.step - begin)] = weight;
  });
}

void fill_depth_if(const FrameHistory& history, const Probe&, int64_t begin, const TokenPlace& place,
                   std::span<float> out) {
  if (!place.what_if) return;
  const std::vector<float> depths = depths_if(history, *place.what_if, begin, end_of(begin, out));
  std::ranges::copy(depths, out.begin());
}

// Probability of the token that stands at a step, as the step before gave it. Unknown outside the 64 likeliest.
void fill_probability(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace&,
                      std::span<float> out) {
  for_each_row(history, probe, std::max<int64_t>(begin - 1, 0), end_of(begin, out) - 1, [&](const FrameRow& row) {
    const int64_t step = row.step + 1;
    if (step >= history.n_steps()) return;
    const auto id = static_cast<float>(history.tokens()[static_cast<size_t>(step)].id);
    const std::span<const float> top = row.f32();
    for (size_t i = 0; i + 1 < top.size(); i += 2) {
      if (top[i] != id) continue;
      out[static_cast<size_t>(step - begin)] = std::exp(top[i + 1]);
      return;
    }
  });
}

void fill_count(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace&,
                std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    out[static_cast<size_t>(row.step - begin)] = static_cast<float>(row.i32()[0]);
  });
}

void fill_cache_bytes(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace&,
                      std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    int64_t sum = 0;
    for (const int64_t bytes : row.i64()) sum += bytes;
    out[static_cast<size_t>(row.step - begin)] = static_cast<float>(sum);
  });
}

constexpr std::array<TokenScalar, 14> kTokenScalars{{
    {.name = "output.entropy",
     .title = "next-token entropy",
     .unit = "nats",
     .probe = "output.entropy",
     .fill = fill_plain},
    {.name = "token.probability",
     .title = "token probability",
     .unit = "",
     .probe = "output.top",
     .fixed_high = 1,
     .fill = fill_probability},
    {.name = "attention.distance",
     .title = "attention distance",
     .unit = "tokens",
     .probe = "attention.distance",
     .per_layer = true,
     .fill = fill_mean_of_heads},
    {.name = "attention.entropy",
     .title = "attention entropy",
     .unit = "nats",
     .probe = "attention.entropy",
     .per_layer = true,
     .fill = fill_mean_of_heads},
    {.name = "state.norm",
     .title = "state norm",
     .unit = "",
     .probe = "state.norm",
     .per_layer = true,
     .fill = fill_norm_of_heads},
    {.name = "state.write",
     .title = "write into the state",
     .unit = "",
     .probe = "state.write",
     .per_layer = true,
     .fill = fill_norm_of_heads},
    {.name = "state.erase",
     .title = "erased from the state",
     .unit = "",
     .probe = "state.erase",
     .per_layer = true,
     .fill = fill_norm_of_heads},
    {.name = "state.keep",
     .title = "kept of the state",
     .unit = "",
     .probe = "state.keep",
     .per_layer = true,
     .fixed_high = 1,
     .fill = fill_keep},
    {.name = "state.half_life",
     .title = "half-life of the state",
     .unit = "tokens",
     .probe = "state.keep",
     .per_layer = true,
     .transfer = Transfer::kLogarithm,
     .infinite = kNeverDecays,
     .every_step = true,
     .fill = fill_half_life},
    {.name = "moe.expert",
     .title = "weight of the selected expert",
     .unit = "",
     .probe = "moe.weights",
     .per_layer = true,
     .also = "moe.experts",
     .every_step = true,
     .fill = fill_expert},
    {.name = "moe.entropy",
     .title = "router entropy",
     .unit = "nats",
     .probe = "moe.entropy",
     .per_layer = true,
     .fill = fill_layer},
    {.name = "loop.depth", .title = "loop depth", .unit = "iterations", .probe = "loop.depth", .fill = fill_count},
    {.name = "residual.norm",
     .title = "residual norm",
     .unit = "",
     .probe = "residual.norm",
     .per_layer = true,
     .fill = fill_layer},
    {.name = "cache.bytes", .title = "cache bytes", .unit = "bytes", .probe = "cache.bytes", .fill = fill_cache_bytes},
}};

// Depths as a what-if gives them, by its rule: in place of "loop.depth".
constexpr TokenScalar kDepthIfGate{.name = "loop.depth",
                                   .title = "what-if loop depth",
                                   .unit = "iterations",
                                   .probe = "loop.exit",
                                   .every_step = true,
                                   .fill = fill_depth_if};
constexpr TokenScalar kDepthIfStep{.name = "loop.depth",
                                   .title = "what-if loop depth",
                                   .unit = "iterations",
                                   .probe = "loop.step",
                                   .every_step = true,
                                   .fill = fill_depth_if};

constexpr std::array<HeadScalar, 5> kHeadScalars{{
    {.name = "attention.entropy", .title = "entropy of the row", .unit = "nats"},
    {.name = "attention.first", .title = "weight on keys 0–3", .unit = "", .fixed_high = 1},
    {.name = "attention.previous", .title = "weight on the key before", .unit = "", .fixed_high = 1},
    {.name = "attention.distance", .title = "mean distance", .unit = "tokens"},
    {.name = "attention.output", .title = "norm of the output", .unit = ""},
}};

template <typename List>
const auto& by_name(const List& list, std::string_view name) {
  const auto found = std::find_if(list.begin(), list.end(), [name](const auto& one) { return one.name == name; });
  return found == list.end() ? list.front() : *found;
}

}  // namespace

std::vector<float> token_values(const TokenScalar& scalar, const FrameHistory& history, int64_t begin, int64_t end,
                                const TokenPlace& place) {
  std::vector<float> values(static_cast<size_t>(std::max<int64_t>(end - begin, 0)), kNan);
  const Probe* probe = find_probe(scalar.probe);
  if (probe != nullptr && !values.empty()) scalar.fill(history, *probe, begin, place, values);
  return values;
}

std::span<const TokenScalar> token_scalars() { return kTokenScalars; }

const TokenScalar& find_token_scalar(std::string_view name) { return by_name(kTokenScalars, name); }

TokenPlace place_of(const Selection& resolved, const ViewState& state) {
  return {.layer = resolved.layer, .expert = resolved.expert, .what_if = state.what_if};
}

const TokenScalar& shown_token_scalar(const ViewState& state) {
  const TokenScalar& chosen = find_token_scalar(state.token_scalar);
  if (chosen.name != "loop.depth" || !state.what_if) return chosen;
  return state.what_if->rule == ExitRule::kStep ? kDepthIfStep : kDepthIfGate;
}

std::string token_scalar_title(const TokenScalar& scalar, const FrameHistory& history, const TokenPlace& place) {
  std::string title(scalar.title);
  if (scalar.name == "moe.expert") {
    title = place.expert >= 0 ? "weight of expert " + std::to_string(place.expert) : title + ": none is chosen";
  }
  if (scalar.fill == fill_depth_if && place.what_if) title += ", " + what_if_text(*place.what_if);
  if (scalar.per_layer) title += ", layer " + layer_name(history.info(), place.layer);
  return title;
}

std::vector<const Probe*> probes_of(const TokenScalar& scalar) {
  std::vector<const Probe*> probes{find_probe(scalar.probe)};
  if (!scalar.also.empty()) probes.push_back(find_probe(scalar.also));
  return probes;
}

std::string token_scalar_text(const TokenScalar& scalar, double value) {
  if (std::isinf(value) && !scalar.infinite.empty()) return std::string(scalar.infinite);
  return scalar.unit == "bytes" && !std::isnan(value) ? format_bytes(value) : format_value(value);
}

std::span<const HeadScalar> head_scalars() { return kHeadScalars; }

const HeadScalar& find_head_scalar(std::string_view name) { return by_name(kHeadScalars, name); }

}  // namespace orrery
