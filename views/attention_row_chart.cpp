#include "views/attention_row_chart.h"

#include <algorithm>
#include <cmath>

#include "views/step_names.h"

namespace orrery {
namespace {

constexpr float kMassStrip = 7;  // px: block mass above an exact row

}  // namespace

std::string AttentionRowChart::heading() const {
  const std::string reads = step_text(history_, now_.step) + " reads: ";
  if (!bars_.row) return reads + "not recorded";
  if (bars_.exact) {
    return reads + "weight by key, exact" + (bars_.row.frame->origin == Origin::kRecomputed ? ", recomputed" : "");
  }
  return reads + "weight of the 32 largest, over block mass; left out " +
         (std::isnan(bars_.left_out) ? "not recorded" : format_value(static_cast<double>(bars_.left_out)));
}

void AttentionRowChart::draw(const Rect& area) {
  const float lh = b_.label();
  // Why it is not exact stands under the heading, where there is room for both.
  const bool says_why = !bars_.exact && !no_exact_row_.empty();
  const float why_height = says_why && area.height > 7 * lh ? lh : 0;
  const float strip = has_mass_strip() && area.height > 7 * lh ? kMassStrip + 2 : 0;
  const float above = b_.heading_height() + why_height + strip;
  const Rect plot{keys_.plot.x, area.y + above, keys_.plot.width, area.height - above - 2 * lh - 4};
  b_.label({area.x, area.y + lh / 2}, heading(), area.width);
  if (why_height > 0) {
    b_.reason({area.x, area.y + 1.5f * lh}, no_exact_row_, area.width);
  } else if (says_why) {
    b_.note(std::string(no_exact_row_));
  }
  if (plot.height < 20 || keys_.keys.size() <= 0) return;
  if (!bars_.row) {
    b_.hatch(plot);
    return;
  }
  float high = 0;
  for (const auto& top : bars_.top) high = std::max(high, top.weight);
  for (const float mass : bars_.mass) high = std::max(high, bars_.exact ? 0.0f : mass);
  high = std::max(high, 1e-6f);
  b_.axis({.plot = plot,
           .vertical = true,
           .high = static_cast<double>(high),
           .ticks = round_ticks(0, static_cast<double>(high), std::max(2, static_cast<int>(plot.height / 40)), false),
           .format = format_tick});
  draw_bars(plot, high);
  if (strip > 0) mass_strip({plot.x, plot.y - strip, plot.width, kMassStrip});
  Rect below = plot;
  below.height += lh;
  keys_.draw_ticks(b_, below);
  keys_.draw_marks(b_, plot, state_, now_.key);
  token_labels(plot);
  record(plot);
}

// One bar a key, or the largest of the keys that share a pixel.
void AttentionRowChart::draw_bars(const Rect& plot, float high) {
  const auto bar = [&](float from, float to, float weight, Paint paint) {
    const float h = std::clamp(weight / high, 0.0f, 1.0f) * plot.height;
    const float w = std::max(to - from, 1.0f);
    if (h > 0.2f) b_.box({from, plot.bottom() - h, w, h}, paint);
  };
  const auto in_view = [&](int64_t key) { return key >= keys_.keys.begin && key < keys_.keys.end; };
  if (!bars_.exact) {
    for (size_t i = 0; i < bars_.mass.size(); ++i) {
      const auto key = static_cast<int64_t>(i) * AttentionMap::kBlock;
      if (in_view(key)) {
        bar(keys_.x(static_cast<double>(key)) + 0.5f, keys_.x(static_cast<double>(key + AttentionMap::kBlock)) - 0.5f,
            bars_.mass[i], Paint::of(ColourRole::kSeries1, 0.22f));
      }
    }
    for (const auto& top : bars_.top) {
      if (!in_view(top.key)) continue;
      const float x = keys_.x(static_cast<double>(top.key));
      bar(x, std::max(keys_.x(static_cast<double>(top.key + 1)), x + 1.5f), top.weight,
          Paint::of(ColourRole::kSeries1));
    }
    return;
  }
  const auto end = std::min<int64_t>(keys_.keys.end, static_cast<int64_t>(bars_.weights.size()));
  const float gap = plot.width / static_cast<float>(keys_.cols()) >= 5 ? 1.0f : 0.0f;
  for (int64_t key = keys_.keys.begin; key < end; key += keys_.per_col) {
    float most = 0;
    const int64_t bin_end = std::min(key + keys_.per_col, end);
    for (int64_t k = key; k < bin_end; ++k) most = std::max(most, bars_.weights[static_cast<size_t>(k)]);
    bar(keys_.x(static_cast<double>(key)), keys_.x(static_cast<double>(key + keys_.per_col)) - gap, most,
        Paint::of(ColourRole::kSeries1));
  }
}

// Block mass above exact bars, in the colours of the map: where the weight lies, also where single keys are too thin
// to see.
bool AttentionRowChart::has_mass_strip() const {
  const int64_t begin = keys_.keys.begin / AttentionMap::kBlock;
  const int64_t n_shown = std::min(std::ssize(bars_.mass), keys_.keys.end / AttentionMap::kBlock) - begin;
  return bars_.exact && n_shown >= 3 && keys_.keys.begin % AttentionMap::kBlock == 0;
}

void AttentionRowChart::mass_strip(const Rect& area) {
  constexpr int64_t kBlock = AttentionMap::kBlock;
  const int64_t begin = keys_.keys.begin / kBlock;
  // Whole blocks only: the last one may reach beyond the newest key, and so beyond the plot.
  int64_t end = std::min(std::ssize(bars_.mass), (keys_.keys.end + kBlock - 1) / kBlock);
  while (end > begin && keys_.x(static_cast<double>(end * kBlock)) > area.right() + 0.5f) --end;
  if (end == begin) return;
  const int scale = b_.scene.add_scale({.low = 0, .high = 1, .transfer = Transfer::kSquareRoot});
  const int axis = b_.scene.add_axis({.name = "key",
                                      .unit = "token",
                                      .means = SceneAxis::Means::kKey,
                                      .begin = keys_.keys.begin,
                                      .end = end * kBlock,
                                      .per_cell = kBlock});
  b_.scene.add(Tile{.name = "block mass of the row",
                    .rect = {area.x, area.y, keys_.x(static_cast<double>(end * kBlock)) - area.x, area.height},
                    .rows = 1,
                    .cols = static_cast<int>(end - begin),
                    .values = std::vector<float>(bars_.mass.begin() + begin, bars_.mass.begin() + end),
                    .scale = scale,
                    .col_axis = axis,
                    .probe = "attention.mass"});
  b_.provenance(provenance_of(history_, bars_.mass_row, now_.layer, now_.head));
}

// Names under the bars, the heaviest first, where they do not touch one another.
void AttentionRowChart::token_labels(const Rect& plot) {
  struct Span {
    float left;
    float right;
  };
  std::vector<Span> taken;
  const float y = plot.bottom() + 1 + b_.label() / 2;
  std::vector<AttentionBars::Top> wanted = bars_.top;
  if (now_.key >= 0) wanted.insert(wanted.begin(), {now_.key, 0});
  for (const AttentionBars::Top& top : wanted) {
    if (top.key < keys_.keys.begin || top.key >= keys_.keys.end) continue;
    const std::string name = b_.fit(token_at(history_, top.key), TextSize::kLabel, 110);
    const float w = b_.width(name, TextSize::kLabel);
    if (name.empty() || w > plot.width) continue;
    const float centre = keys_.x(static_cast<double>(top.key) + 0.5);
    const float left = std::clamp(centre - w / 2, plot.x, plot.right() - w);
    const bool free =
        std::none_of(taken.begin(), taken.end(), [&](Span s) { return left < s.right + 6 && left + w > s.left - 6; });
    if (!free) continue;
    taken.push_back({left, left + w});
    const bool chosen = top.key == now_.key;
    b_.text({{left, y},
             name,
             TextSize::kLabel,
             Align::kLeft,
             Paint::of(chosen ? ColourRole::kAccent : ColourRole::kForeground),
             TextRole::kToken});
  }
}

void AttentionRowChart::record(const Rect& plot) {
  Series series{.name = bars_.exact ? "row" : "top 32",
                .probe = bars_.exact ? "attention.row" : std::string(bars_.row.frame->probe->name),
                .unit = "",
                .x_name = "key"};
  if (bars_.exact) {
    for (size_t key = 0; key < bars_.weights.size(); ++key) {
      series.x.push_back(static_cast<double>(key));
      series.y.push_back(static_cast<double>(bars_.weights[key]));
    }
  } else {
    for (const auto& top : bars_.top) {
      series.x.push_back(static_cast<double>(top.key));
      series.y.push_back(static_cast<double>(top.weight));
      series.labels.push_back(token_at(history_, top.key));
    }
    b_.scene.series.push_back({.name = "left out",
                               .probe = "attention.rest",
                               .x_name = "step",
                               .x = {static_cast<double>(now_.step)},
                               .y = {static_cast<double>(bars_.left_out)}});
  }
  b_.scene.series.push_back(std::move(series));
  Provenance p = provenance_of(history_, bars_.row, now_.layer, now_.head);
  if (!bars_.exact) p.note = "32 largest weights";
  b_.provenance(std::move(p));
  const int axis = keys_.add_axis(b_, keys_.per_col);
  b_.scene.regions.push_back(
      {.rect = plot, .rows = 1, .cols = static_cast<int>(keys_.cols()), .col_axis = axis, .wheel_zooms_keys = true});
}

}  // namespace orrery
