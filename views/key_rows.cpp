#include "views/key_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/model_axes.h"

namespace orrery {

bool KeyRows::has_attention() const { return layer().has(MixerKind::kAttention); }

// The selected head where the layer's attention has so many, else its last.
Selection KeyRows::attention_selection() const {
  Selection at = now_;
  at.head = std::clamp(now_.head, 0, n_heads_of(layer(), MixerKind::kAttention) - 1);
  return at;
}

void KeyRows::draw(const Rect& area) {
  if (!has_attention()) return draw_implied(area, true);
  const float height = (area.height - 6) / 2;
  draw_implied({area.x, area.y, area.width, height}, false);
  draw_attention({area.x, area.bottom() - height, area.width, height}, now_.step + 1);
}

Rect KeyRows::say_why_not(const Rect& area) {
  const float lh = b_.label();
  if (no_row_.empty() || area.height < 4 * lh) return area;
  b_.reason({area.x, area.bottom() - lh / 2}, no_row_, area.width);
  return area.inset(0, 0, 0, lh + 4);
}

void KeyRows::draw_implied(const Rect& area, bool names_keys) {
  const ImpliedRow row = implied();
  if (!row.row) return draw_missing(area);
  chart(area, {.title = "what " + state_head_name(layer(), now_.head) + " of the state reads at step " +
                        std::to_string(now_.step) + ": implied attention row by key, signed, " +
                        origin_name(row.row.frame->origin),
               .series = "implied row",
               .probe = "state.row",
               .weights = row.weights,
               .names_keys = names_keys});
  b_.provenance(provenance_of(history_, row.row, now_.layer, now_.head));
}

void KeyRows::draw_missing(const Rect& area) {
  const float lh = b_.label();
  b_.reason({area.x, area.y + lh / 2}, no_row_, area.width);
  const Rect plot = area.inset(0, b_.heading_height(), 2, lh / 2);
  if (plot.height >= 12) b_.hatch(plot);
}

void KeyRows::draw_attention(const Rect& area, int64_t n_keys) {
  const Selection at = attention_selection();
  const AttentionBars row = attention_bars(history_, at);
  Chart drawn{.series = "attention row", .probe = "attention.row"};
  drawn.title = "what attention head " + std::to_string(at.head) + " of the same layer reads: ";
  drawn.weights.assign(static_cast<size_t>(n_keys), std::numeric_limits<float>::quiet_NaN());
  if (!row.row) {
    drawn.title += "not recorded";
  } else if (row.exact) {
    drawn.title += "weight by key";
    std::copy_n(row.weights.begin(), std::min(row.weights.size(), drawn.weights.size()), drawn.weights.begin());
  } else {
    drawn.title += "the 32 largest weights by key";
    drawn.probe = "attention.top";
    for (const AttentionBars::Top& top : row.top) {
      if (top.key >= 0 && top.key < n_keys) drawn.weights[static_cast<size_t>(top.key)] = top.weight;
    }
  }
  chart(area, drawn);
  if (row.row) b_.provenance(provenance_of(history_, row.row, now_.layer, at.head));
}

// Bars up and down from zero.
void KeyRows::chart(const Rect& area, const Chart& chart) {
  const float lh = b_.label();
  b_.label({area.x, area.y + lh / 2}, chart.title, area.width, Align::kLeft, Paint::of(ColourRole::kForeground));
  const float gutter = b_.width("-0.000", TextSize::kLabel) + 6;
  const Rect plot = area.inset(gutter, b_.heading_height(), 2, chart.names_keys ? lh + 4 : lh / 2);
  if (plot.width < 20 || plot.height < 12) return;
  b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
  double low = 0, high = 1e-9;
  bool any = false;
  for (const float weight : chart.weights) {
    if (std::isnan(weight)) continue;
    any = true;
    low = std::min(low, static_cast<double>(weight));
    high = std::max(high, static_cast<double>(weight));
  }
  if (!any) return b_.hatch(plot);
  b_.axis({.plot = plot,
           .vertical = true,
           .low = low,
           .high = high,
           .ticks = round_ticks(low, high, std::max(2, static_cast<int>(plot.height / 36)), false),
           .format = format_tick});
  const auto n = static_cast<int64_t>(chart.weights.size());
  SceneAxis keys{.name = "key", .unit = "token", .means = SceneAxis::Means::kKey, .begin = 0, .end = n};
  if (chart.names_keys) keys.ticks = b_.token_ticks(plot, 0, n);
  bars(chart.weights, plot, low, high);
  mark_key(plot, n);
  Series series{.name = chart.series, .probe = chart.probe, .unit = "", .x_name = "key"};
  for (int64_t key = 0; key < n; ++key) {
    series.x.push_back(static_cast<double>(key));
    series.y.push_back(static_cast<double>(chart.weights[static_cast<size_t>(key)]));
  }
  b_.scene.series.push_back(std::move(series));
  const int axis = b_.scene.add_axis(std::move(keys));
  b_.scene.regions.push_back({.rect = plot, .rows = 1, .cols = static_cast<int>(n), .col_axis = axis});
}

// One bar a key, or the greatest and the least of the keys that share a pixel.
void KeyRows::bars(const std::vector<float>& weights, const Rect& plot, double low, double high) {
  const auto y_of = [&](double value) {
    return plot.bottom() - static_cast<float>((value - low) / (high - low)) * plot.height;
  };
  const auto n = static_cast<int64_t>(weights.size());
  const auto n_bars = std::min<int64_t>(n, static_cast<int64_t>(plot.width));
  const auto bar = [&](int64_t i, float value, Paint paint) {
    const float left = plot.x + static_cast<float>(i) / static_cast<float>(n_bars) * plot.width;
    const float width =
        std::max(plot.width / static_cast<float>(n_bars) - (n_bars * 4 < plot.width ? 1.0f : 0.0f), 1.0f);
    const float from = std::min(y_of(0), y_of(static_cast<double>(value)));
    const float to = std::max(y_of(0), y_of(static_cast<double>(value)));
    if (to - from > 0.2f) b_.box({left, from, width, to - from}, paint);
  };
  for (int64_t i = 0; i < n_bars; ++i) {
    float least = 0, most = 0;
    for (int64_t key = i * n / n_bars; key < std::max((i + 1) * n / n_bars, i * n / n_bars + 1); ++key) {
      const float weight = weights[static_cast<size_t>(key)];
      if (weight > most) most = weight;
      if (weight < least) least = weight;
    }
    if (most > 0) bar(i, most, Paint::of(ColourRole::kSeries1));
    if (least < 0) bar(i, least, Paint::of(ColourRole::kSeries3));
  }
  b_.rule({plot.x, y_of(0)}, {plot.right(), y_of(0)}, Paint::of(ColourRole::kMuted));
}

void KeyRows::mark_key(const Rect& plot, int64_t n_keys) {
  const auto rule = [&](int64_t key, Paint paint) {
    if (key < 0 || key >= n_keys) return;
    const float x = plot.x + (static_cast<float>(key) + 0.5f) / static_cast<float>(n_keys) * plot.width;
    b_.rule({x, plot.y}, {x, plot.bottom()}, paint);
  };
  rule(state_.hovered.key, Paint::of(ColourRole::kHover, 0.7f));
  rule(now_.key, Paint::of(ColourRole::kAccent, 0.7f));
}

}  // namespace orrery
