#include "views/token_scalars.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "views/frame_rows.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int64_t end_of(int64_t begin, std::span<float> out) { return begin + static_cast<int64_t>(out.size()); }

void fill_plain(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t, std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out),
               [&](const FrameRow& row) { out[static_cast<size_t>(row.step - begin)] = row.f32()[0]; });
}

void fill_layer(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t layer, std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    const std::span<const float> values = row.layer_f32(layer);
    if (!values.empty()) out[static_cast<size_t>(row.step - begin)] = values[0];
  });
}

void fill_mean_of_heads(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t layer,
                        std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    float sum = 0;
    int n = 0;
    for (const float value : row.layer_f32(layer)) {
      if (std::isnan(value)) continue;
      sum += value;
      ++n;
    }
    if (n > 0) out[static_cast<size_t>(row.step - begin)] = sum / static_cast<float>(n);
  });
}

// Over the layer's heads together: the root of the sum of squares, as of one matrix.
void fill_norm_of_heads(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t layer,
                        std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    double sum = 0;
    bool any = false;
    for (const float value : row.layer_f32(layer)) {
      if (std::isnan(value)) continue;
      sum += static_cast<double>(value) * static_cast<double>(value);
      any = true;
    }
    if (any) out[static_cast<size_t>(row.step - begin)] = static_cast<float>(std::sqrt(sum));
  });
}

// Probability of the token that stands at a step, as the step before gave it. Unknown outside the 64 likeliest.
void fill_probability(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t, std::span<float> out) {
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

void fill_count(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t, std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    out[static_cast<size_t>(row.step - begin)] = static_cast<float>(row.i32()[0]);
  });
}

void fill_cache_bytes(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t, std::span<float> out) {
  for_each_row(history, probe, begin, end_of(begin, out), [&](const FrameRow& row) {
    int64_t sum = 0;
    for (const int64_t bytes : row.i64()) sum += bytes;
    out[static_cast<size_t>(row.step - begin)] = static_cast<float>(sum);
  });
}

constexpr std::array<TokenScalar, 10> kTokenScalars{{
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
                                int32_t layer) {
  std::vector<float> values(static_cast<size_t>(std::max<int64_t>(end - begin, 0)), kNan);
  const Probe* probe = find_probe(scalar.probe);
  if (probe != nullptr && !values.empty()) scalar.fill(history, *probe, begin, layer, values);
  return values;
}

std::span<const TokenScalar> token_scalars() { return kTokenScalars; }

const TokenScalar& find_token_scalar(std::string_view name) { return by_name(kTokenScalars, name); }

std::span<const HeadScalar> head_scalars() { return kHeadScalars; }

const HeadScalar& find_head_scalar(std::string_view name) { return by_name(kHeadScalars, name); }

}  // namespace orrery
