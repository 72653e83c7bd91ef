// Attention: layers x heads -> the map of one head -> one row of it.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "views/attention_cells.h"
#include "views/scene_builder.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastOverviewWidth = 500;  // of the body, for the overview to stand beside the map
constexpr float kLeastRowHeight = 250;      // of the body, for the row to stand under the map
constexpr float kGap = 18;
constexpr float kMassStrip = 7;  // px: block mass above an exact row
constexpr float kLeastCell =
    1.5f;  // px: finer cells are not told apart, and cost four times as much to fill and upload

std::string token_name(const FrameHistory& history, int64_t step) {
  if (step < 0 || step >= history.n_steps()) return "";
  return token_label(history.tokens()[static_cast<size_t>(step)].bytes);
}

class AttentionPicture {
 public:
  explicit AttentionPicture(const SceneInput& input)
      : history_(input.history),
        state_(input.state),
        no_exact_row_(input.no_exact_row),
        b_(input, "attention", "Attention"),
        now_(resolve_for(MixerKind::kAttention, input.history, input.state)),
        n_(history_.n_processed()) {
    b_.scene.selection = now_;
  }

  Scene draw() {
    if (b_.says_why_empty(attention_view(), history_)) return b_.finish();
    subtitle();
    Rect rest = b_.body;
    const HeadCells heads = head_cells(history_, find_head_scalar(state_.head_scalar), now_.step);
    if (rest.width >= kLeastOverviewWidth && !heads.layers.empty()) {
      const float used = overview(heads, rest);
      rest = rest.inset(used + kGap, 0, 0, 0);
    }
    if (now_.head < 0) {
      b_.body = rest;
      b_.message("Layer " + layer_name(history_.info(), now_.layer) + " has no attention: choose another layer.");
      return b_.finish();
    }
    Rect map_area = rest;
    Rect row_area;
    if (rest.height >= kLeastRowHeight) {
      const float height = std::clamp(rest.height * 0.3f, 110.0f, 260.0f);
      map_area = rest.inset(0, 0, 0, height + 8);
      row_area = {rest.x, rest.bottom() - height, rest.width, height};
    }
    map(map_area);
    if (!row_area.empty()) row(row_area);
    if (heads_row_) b_.provenance(provenance_of(history_, heads_row_));
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = layer_name(history_.info(), now_.layer);
    if (now_.head >= 0) text += " · head " + std::to_string(now_.head);
    text += " · step " + std::to_string(now_.step) + " " + token_name(history_, now_.step);
    b_.subtitle(text);
  }

  // --- layers x heads; returns the width it took ---
  float overview(const HeadCells& heads, const Rect& area) {
    const HeadScalar& scalar = find_head_scalar(state_.head_scalar);
    const float lh = b_.label();
    const float most_width = std::clamp(area.width * 0.3f + 20, 150.0f, 520.0f);
    float gutter = 0;
    for (const int32_t layer : heads.layers) {
      gutter = std::max(gutter, b_.width(layer_name(history_.info(), layer), TextSize::kLabel));
    }
    gutter = std::min(gutter, most_width * 0.5f) + 6;
    const float foot = lh + 6 + b_.scale_bar_height();
    const float widest_cell = b_.width("00.00", TextSize::kLabel) + 8;
    Rect plot{area.x + gutter, area.y + heading_height(), 0, area.height - heading_height() - foot};
    plot.width = std::min(most_width - gutter, widest_cell * static_cast<float>(heads.n_heads));
    plot.height = std::min(plot.height, 64.0f * static_cast<float>(heads.layers.size()));
    if (plot.empty() || plot.height < 24) return 0;
    b_.label(
        {area.x, area.y + lh / 2},
        "layers × heads: " + std::string(scalar.title) + (scalar.unit.empty() ? "" : ", " + std::string(scalar.unit)),
        gutter + plot.width);

    const int scale = b_.scene.add_scale({.low = 0, .high = std::max(heads.high, 1e-6f)});
    SceneAxis rows{.name = "layer", .means = SceneAxis::Means::kLayer};
    for (const int32_t layer : heads.layers) {
      rows.ids.push_back(layer);
      rows.labels.push_back(layer_name(history_.info(), layer));
    }
    SceneAxis cols{.name = "head", .means = SceneAxis::Means::kHead, .end = heads.n_heads};
    b_.hatch(plot);
    const int tile = b_.scene.add(Tile{.name = "heads",
                                       .rect = plot,
                                       .rows = static_cast<int>(heads.layers.size()),
                                       .cols = heads.n_heads,
                                       .values = heads.values,
                                       .scale = scale,
                                       .probe = std::string(scalar.name),
                                       .unit = std::string(scalar.unit)});
    layer_labels(rows, plot, gutter);
    cols.ticks = b_.axis({.plot = plot,
                          .high = static_cast<double>(heads.n_heads),
                          .ticks = round_ticks(0, heads.n_heads - 1, std::min(heads.n_heads, 10), true),
                          .grid = false,
                          .cells = true});
    const int row_axis = b_.scene.add_axis(std::move(rows));
    const int col_axis = b_.scene.add_axis(std::move(cols));
    std::get<Tile>(b_.scene.items[static_cast<size_t>(tile)]).row_axis = row_axis;
    std::get<Tile>(b_.scene.items[static_cast<size_t>(tile)]).col_axis = col_axis;
    cell_numbers(heads, plot, scale);
    for (const PinnedHead& pinned : state_.pins) mark_pin(heads, plot, pinned);
    mark_head(heads, plot, state_.hovered.layer, state_.hovered.head, Paint::of(ColourRole::kHover));
    mark_head(heads, plot, now_.layer, now_.head, Paint::of(ColourRole::kAccent));
    b_.scale_bar({plot.x, plot.bottom() + lh + 8, plot.width, 0}, scale, scalar.unit, format_value);
    b_.scene.regions.push_back({.rect = plot,
                                .rows = static_cast<int>(heads.layers.size()),
                                .cols = heads.n_heads,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .tile_item = tile});
    heads_row_ = heads.row;
    if (!heads.row) b_.note(std::string(scalar.name) + " is not recorded at this step.");
    return gutter + plot.width;
  }

  void layer_labels(SceneAxis& rows, const Rect& plot, float gutter) {
    const float pitch = plot.height / static_cast<float>(rows.ids.size());
    const auto every = static_cast<size_t>(std::max(1.0f, std::ceil(b_.label() / pitch)));
    for (size_t i = 0; i < rows.ids.size(); ++i) {
      const float y = plot.y + (static_cast<float>(i) + 0.5f) * pitch;
      rows.ticks.push_back({static_cast<double>(rows.ids[i]), rows.labels[i], y});
      if (i % every != 0) continue;
      const bool chosen = rows.ids[i] == now_.layer;
      b_.label({plot.x - 6, y}, rows.labels[i], gutter - 6, Align::kRight,
               Paint::of(chosen ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kTick);
    }
  }

  // The value with as many decimals as fit, never a cut one; empty where none does.
  std::string number_within(float width, double value) const {
    std::string number = format_value(value);
    for (int decimals = 2; decimals >= 0 && b_.width(number, TextSize::kLabel) > width; --decimals) {
      char text[32];
      std::snprintf(text, sizeof(text), "%.*f", decimals, value);
      number = text;
    }
    return b_.width(number, TextSize::kLabel) > width ? std::string() : number;
  }

  void cell_numbers(const HeadCells& heads, const Rect& plot, int scale) {
    const float w = plot.width / static_cast<float>(heads.n_heads);
    const float h = plot.height / static_cast<float>(heads.layers.size());
    if (h < b_.label() || w < b_.width("0.00", TextSize::kLabel) + 4) return;
    for (size_t i = 0; i < heads.values.size(); ++i) {
      const float value = heads.values[i];
      if (std::isnan(value)) continue;
      const std::string number = number_within(w - 2, static_cast<double>(value));
      if (number.empty()) continue;
      const auto row = static_cast<float>(i / static_cast<size_t>(heads.n_heads));
      const auto col = static_cast<float>(i % static_cast<size_t>(heads.n_heads));
      b_.text({{plot.x + (col + 0.5f) * w, plot.y + (row + 0.5f) * h},
               number,
               TextSize::kLabel,
               Align::kCentre,
               Paint::contrast(scale, value),
               TextRole::kValue});
    }
  }

  void mark_head(const HeadCells& heads, const Rect& plot, int32_t layer, int32_t head, Paint paint) {
    const auto found = std::find(heads.layers.begin(), heads.layers.end(), layer);
    if (found == heads.layers.end() || head < 0 || head >= heads.n_heads) return;
    const float w = plot.width / static_cast<float>(heads.n_heads);
    const float h = plot.height / static_cast<float>(heads.layers.size());
    const auto row = static_cast<float>(found - heads.layers.begin());
    b_.box({plot.x + static_cast<float>(head) * w, plot.y + row * h, w, h}, Paint::none(), paint, 2);
  }

  // A square in the corner of a pinned head's cell.
  void mark_pin(const HeadCells& heads, const Rect& plot, const PinnedHead& pinned) {
    const auto found = std::find(heads.layers.begin(), heads.layers.end(), pinned.layer);
    if (found == heads.layers.end() || pinned.head >= heads.n_heads) return;
    const float w = plot.width / static_cast<float>(heads.n_heads);
    const float h = plot.height / static_cast<float>(heads.layers.size());
    const float side = std::clamp(std::min(w, h) * 0.4f, 3.0f, 7.0f);
    const float right = plot.x + static_cast<float>(pinned.head + 1) * w;
    const float top = plot.y + static_cast<float>(found - heads.layers.begin()) * h;
    b_.box({right - side - 1, top + 1, side, side}, Paint::of(ColourRole::kAccent), Paint::of(ColourRole::kGround));
  }

  // What pins the head, at the right end of the map's heading; returns its width.
  float pin_button(Point right_end, float max_width) {
    const bool is_pinned = std::ranges::binary_search(state_.pins, PinnedHead{now_.layer, now_.head});
    const std::string_view text = is_pinned ? "pinned: always exact" : "pin head";
    const float lh = b_.label();
    const float mark = lh * 0.6f;
    const float width = mark + 5 + b_.width(text, TextSize::kLabel);
    if (width > max_width) return 0;
    const float x = right_end.x - width;
    b_.box({x, right_end.y - mark / 2, mark, mark}, is_pinned ? Paint::of(ColourRole::kAccent) : Paint::none(),
           Paint::of(is_pinned ? ColourRole::kAccent : ColourRole::kMuted));
    b_.label({x + mark + 5, right_end.y}, text, width, Align::kLeft,
             Paint::of(is_pinned ? ColourRole::kForeground : ColourRole::kMuted));
    b_.scene.regions.push_back(
        {.rect = {x - 3, right_end.y - lh / 2, width + 6, lh},
         .click = PinHead{.layer = now_.layer, .head = now_.head, .on = !is_pinned},
         .tooltip = is_pinned
                        ? "The exact rows of this head are measured and recorded at every step. Click, or P: no more."
                        : "Measure and record the exact rows of this head at every step from now on (P)."});
    return width + 12;
  }

  // --- one head: queries x keys ---
  // A line, and room for the upper half of the topmost tick.
  float heading_height() const { return 1.5f * b_.label() + 1; }
  float left_gutter() const { return b_.width(std::to_string(n_), TextSize::kLabel) + 6; }

  void map(const Rect& area) {
    const float lh = b_.label();
    const bool has_bar = area.height >= 170;
    const float foot = lh + 3 + (has_bar ? b_.scale_bar_height() + 4 : 0);
    // In a low dock the map comes before its heading; the upper half of the topmost tick has its room.
    const bool has_heading = area.height >= heading_height() + 20 + foot;
    const Rect plot = area.inset(left_gutter(), has_heading ? heading_height() : lh / 2 + 1, 1, foot);
    if (plot.width < 20 || plot.height < 14) return;
    const StepRange steps = visible_range(state_.steps, n_);
    const StepRange keys = visible_range(state_.keys, n_);
    map_ = attention_map(history_, now_, steps, keys, static_cast<int>(plot.height / kLeastCell),
                         static_cast<int>(plot.width / kLeastCell));
    plot_ = plot;
    if (has_heading) {
      const float taken = pin_button({area.right() - 1, area.y + lh / 2}, area.width * 0.4f);
      map_heading({area.x, area.y + lh / 2}, area.width - taken);
    }

    const int scale =
        b_.scene.add_scale({.low = 0, .high = std::max(1.0f, map_.highest), .transfer = Transfer::kSquareRoot});
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    for (const AttentionMap::Rows& rows : map_.missing) b_.hatch(rows_rect(rows));
    const auto [row_axis, col_axis] = map_axes(plot);
    b_.scene.regions.push_back({.rect = plot,
                                .rows = map_.rows,
                                .cols = map_.cols,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .wheel_zooms_keys = true});
    add_map_tiles(scale, col_axis);
    map_cursor();
    if (has_bar) {
      b_.scale_bar({plot.x, plot.bottom() + lh + 7, plot.width, 0}, scale,
                   map_.n_block_steps > 0 ? "weight; sum of weights in block mass" : "weight", format_value);
    }
    map_provenance();
  }

  void map_heading(Point at, float max_width) {
    std::string text = "step ↓ × key →";
    if (map_.n_exact_steps > 0) text += ": exact rows";
    if (map_.n_block_steps > 0) {
      text += map_.n_exact_steps > 0 ? " above, block mass below (64 keys, approximate positions)"
                                     : ": block mass (64 keys, approximate positions)";
      if (!map_.marks.empty()) text += ", marks: the 32 largest";
    }
    if (map_.n_exact_steps == 0 && map_.n_block_steps == 0) text += ": not recorded";
    b_.label(at, text, max_width);
  }

  // The last cells may reach past the newest step: the axes end with whole cells, so that pictures and values agree.
  int64_t steps_end() const { return map_.steps.begin + map_.rows * map_.steps_per_row; }
  int64_t keys_end() const { return map_.keys.begin + map_.cols * map_.keys_per_col; }
  float row_y(int64_t step) const {
    const auto span = static_cast<float>(std::max<int64_t>(steps_end() - map_.steps.begin, 1));
    return plot_.y + static_cast<float>(step - map_.steps.begin) / span * plot_.height;
  }
  float key_x(float key) const {
    const auto span = static_cast<float>(std::max<int64_t>(keys_end() - map_.keys.begin, 1));
    return plot_.x + (key - static_cast<float>(map_.keys.begin)) / span * plot_.width;
  }
  Rect rows_rect(const AttentionMap::Rows& rows) const {
    const float from = row_y(map_.steps.begin + rows.begin * map_.steps_per_row);
    const float to = row_y(map_.steps.begin + rows.end * map_.steps_per_row);
    return {plot_.x, from, plot_.width, to - from};
  }

  std::pair<int, int> map_axes(const Rect& plot) {
    SceneAxis rows{.name = "step",
                   .unit = "token",
                   .means = SceneAxis::Means::kStep,
                   .begin = map_.steps.begin,
                   .end = map_.steps.end,
                   .per_cell = map_.steps_per_row};
    SceneAxis cols{.name = "key",
                   .unit = "token",
                   .means = SceneAxis::Means::kKey,
                   .begin = map_.keys.begin,
                   .end = map_.keys.end,
                   .per_cell = map_.keys_per_col};
    const auto low = static_cast<double>(rows.begin);
    const auto high = static_cast<double>(steps_end());
    rows.ticks = b_.axis({.plot = plot,
                          .vertical = true,
                          .downwards = true,
                          .low = low,
                          .high = high,
                          .ticks = round_ticks(low, high - 1, static_cast<int>(plot.height / 45), true),
                          .grid = false,
                          .cells = true});
    const auto first = static_cast<double>(cols.begin);
    const auto last = static_cast<double>(keys_end());
    cols.ticks = b_.axis({.plot = plot,
                          .low = first,
                          .high = last,
                          .ticks = round_ticks(first, last - 1, static_cast<int>(plot.width / 70), true),
                          .grid = false,
                          .cells = true});
    const int row_axis = b_.scene.add_axis(std::move(rows));
    return {row_axis, b_.scene.add_axis(std::move(cols))};
  }

  // A tile over some rows of the map, with what the pointer says there.
  void add_map_tile(const char* name, const char* probe, const AttentionMap::Rows& rows, int cols, float width,
                    std::vector<float> values, int scale, int col_axis) {
    if (values.empty()) return;
    Rect rect = rows_rect(rows);
    rect.width = width;
    const int row_axis =
        b_.scene.add_axis({.name = "step",
                           .unit = "token",
                           .means = SceneAxis::Means::kStep,
                           .begin = map_.steps.begin + rows.begin * map_.steps_per_row,
                           .end = std::min(map_.steps.begin + rows.end * map_.steps_per_row, map_.steps.end),
                           .per_cell = map_.steps_per_row});
    const int item = b_.scene.add(Tile{.name = name,
                                       .rect = rect,
                                       .rows = rows.size(),
                                       .cols = cols,
                                       .values = std::move(values),
                                       .scale = scale,
                                       .row_axis = row_axis,
                                       .col_axis = col_axis,
                                       .probe = probe});
    if (std::string_view(probe) == "attention.top") return;  // the block mass below answers
    b_.scene.regions.push_back({.rect = rect,
                                .rows = rows.size(),
                                .cols = cols,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .tile_item = item,
                                .wheel_zooms_keys = true});
  }

  void add_map_tiles(int scale, int col_axis) {
    if (!map_.mass.empty()) {
      const int block_axis = b_.scene.add_axis({.name = "key",
                                                .unit = "token",
                                                .means = SceneAxis::Means::kKey,
                                                .begin = map_.keys.begin,
                                                .end = map_.keys.end,
                                                .per_cell = AttentionMap::kBlock});
      const float width = key_x(static_cast<float>(map_.keys.end)) - plot_.x;
      add_map_tile("block mass", "attention.mass", map_.block_rows, map_.block_cols, width, std::move(map_.mass), scale,
                   block_axis);
    }
    add_map_tile("exact rows", "attention.row", map_.exact_rows, map_.cols, plot_.width, std::move(map_.exact), scale,
                 col_axis);
    if (map_.marks.empty()) return;
    const int marks = b_.scene.add_scale({.map = ColourMapId::kMarks, .transfer = Transfer::kSquareRoot});
    add_map_tile("top 32", "attention.top", map_.block_rows, map_.cols, plot_.width, std::move(map_.marks), marks,
                 col_axis);
  }

  void horizontal_mark(int64_t step, Paint paint) {
    if (step < map_.steps.begin || step >= map_.steps.end) return;
    const float top = row_y(step);
    const float height = row_y(step + 1) - top;
    if (height >= 5) {
      b_.box({plot_.x, top, plot_.width, height}, Paint::none(), paint);
    } else {
      b_.rule({plot_.x, top + height / 2}, {plot_.right(), top + height / 2}, paint);
    }
  }

  void vertical_mark(const Rect& plot, int64_t key, Paint paint) {
    if (key < map_.keys.begin || key >= map_.keys.end) return;
    const float x = key_x(static_cast<float>(key) + 0.5f);
    b_.rule({x, plot.y}, {x, plot.bottom()}, paint);
  }

  void map_cursor() {
    horizontal_mark(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f));
    vertical_mark(plot_, state_.hovered.key, Paint::of(ColourRole::kHover, 0.7f));
    vertical_mark(plot_, now_.key, Paint::of(ColourRole::kAccent, 0.8f));
    horizontal_mark(now_.step, Paint::of(ColourRole::kAccent, 0.9f));
  }

  void map_provenance() {
    std::string cells;
    if (map_.steps_per_row > 1 || map_.keys_per_col > 1) {
      cells = "largest of " + std::to_string(map_.steps_per_row) + " steps × " + std::to_string(map_.keys_per_col) +
              " keys a cell";
      b_.note("Each cell of the map shows the " + cells.substr(0, cells.size() - 7) + ".");
    }
    const auto add = [&](const FrameRow& row, const std::string& note, bool exact) {
      if (!row) return;
      Provenance p = provenance_of(history_, row, now_.layer, now_.head);
      p.step_begin = map_.steps.begin;
      p.step_end = map_.steps.end;
      p.note = note;
      p.exact = exact;
      b_.provenance(std::move(p));
    };
    add(map_.exact_row, cells, true);
    add(map_.mass_row, "block mass, approximate positions" + (cells.empty() ? "" : ", " + cells), false);
    if (!map_.missing.empty()) b_.note("Hatched: not recorded, or not held.");
  }

  // --- one row ---
  void row(const Rect& area) {
    const AttentionBars bars = attention_bars(history_, now_);
    const float lh = b_.label();
    std::string heading = "step " + std::to_string(now_.step) + " " + token_name(history_, now_.step) + " reads: ";
    if (!bars.row) {
      heading += "not recorded";
    } else if (bars.exact) {
      heading += "weight by key, exact";
      if (bars.row.frame->origin == Origin::kRecomputed) heading += ", recomputed";
    } else {
      heading += "weight of the 32 largest, over block mass; left out ";
      heading += std::isnan(bars.left_out) ? "not recorded" : format_value(static_cast<double>(bars.left_out));
    }
    // Why it is not exact stands under the heading, where there is room for both.
    const bool says_why = !bars.exact && !no_exact_row_.empty();
    const float why_height = says_why && area.height > 7 * lh ? lh : 0;
    const float strip = has_mass_strip(bars) && area.height > 7 * lh ? kMassStrip + 2 : 0;
    Rect plot = area.inset(left_gutter(), heading_height() + why_height + strip, 1, 2 * lh + 4);
    plot.x = plot_.empty() ? plot.x : plot_.x;
    b_.label({area.x, area.y + lh / 2}, heading, area.width);
    if (why_height > 0) b_.label({area.x, area.y + 1.5f * lh}, no_exact_row_, area.width);
    if (says_why) b_.note(std::string(no_exact_row_));
    if (plot.height < 20 || map_.keys.size() <= 0) return;
    plot.width = plot_.width;
    if (!bars.row) {
      b_.hatch(plot);
      return;
    }
    float high = 0;
    for (const auto& top : bars.top) high = std::max(high, top.weight);
    for (const float mass : bars.mass) high = std::max(high, bars.exact ? 0.0f : mass);
    high = std::max(high, 1e-6f);
    b_.axis({.plot = plot,
             .vertical = true,
             .high = static_cast<double>(high),
             .ticks = round_ticks(0, static_cast<double>(high), std::max(2, static_cast<int>(plot.height / 40)), false),
             .format = format_tick});
    draw_bars(bars, plot, high);
    if (strip > 0) mass_strip(bars, {plot.x, plot.y - strip, plot.width, kMassStrip});
    const auto first = static_cast<double>(map_.keys.begin);
    const auto last = static_cast<double>(keys_end());
    Rect below = plot;
    below.height += lh;
    b_.axis({.plot = below,
             .low = first,
             .high = last,
             .ticks = round_ticks(first, last - 1, static_cast<int>(plot.width / 70), true),
             .grid = false,
             .cells = true});
    vertical_mark(plot, state_.hovered.key, Paint::of(ColourRole::kHover, 0.7f));
    vertical_mark(plot, now_.key, Paint::of(ColourRole::kAccent, 0.8f));
    token_labels(bars, plot);
    record_row(bars, plot);
  }

  // One bar a key, or the largest of the keys that share a pixel.
  void draw_bars(const AttentionBars& bars, const Rect& plot, float high) {
    const auto bar = [&](float from, float to, float weight, Paint paint) {
      const float h = std::clamp(weight / high, 0.0f, 1.0f) * plot.height;
      const float w = std::max(to - from, 1.0f);
      if (h > 0.2f) b_.box({from, plot.bottom() - h, w, h}, paint);
    };
    const auto in_view = [&](int64_t key) { return key >= map_.keys.begin && key < map_.keys.end; };
    if (!bars.exact) {
      for (size_t i = 0; i < bars.mass.size(); ++i) {
        const auto key = static_cast<int64_t>(i) * AttentionMap::kBlock;
        if (in_view(key)) {
          bar(key_x(static_cast<float>(key)) + 0.5f, key_x(static_cast<float>(key + AttentionMap::kBlock)) - 0.5f,
              bars.mass[i], Paint::of(ColourRole::kSeries1, 0.22f));
        }
      }
      for (const auto& top : bars.top) {
        if (!in_view(top.key)) continue;
        const float x = key_x(static_cast<float>(top.key));
        bar(x, std::max(key_x(static_cast<float>(top.key + 1)), x + 1.5f), top.weight, Paint::of(ColourRole::kSeries1));
      }
      return;
    }
    const auto end = std::min<int64_t>(map_.keys.end, static_cast<int64_t>(bars.weights.size()));
    const float gap = plot.width / static_cast<float>(map_.cols) >= 5 ? 1.0f : 0.0f;
    for (int64_t key = map_.keys.begin; key < end; key += map_.keys_per_col) {
      float most = 0;
      const int64_t bin_end = std::min(key + map_.keys_per_col, end);
      for (int64_t k = key; k < bin_end; ++k) most = std::max(most, bars.weights[static_cast<size_t>(k)]);
      bar(key_x(static_cast<float>(key)), key_x(static_cast<float>(key + map_.keys_per_col)) - gap, most,
          Paint::of(ColourRole::kSeries1));
    }
  }

  // Block mass above exact bars, in the colours of the map: where the weight lies, also where single keys are too thin
  // to see.
  bool has_mass_strip(const AttentionBars& bars) const {
    const int64_t begin = map_.keys.begin / AttentionMap::kBlock;
    const int64_t n_shown = std::min(std::ssize(bars.mass), map_.keys.end / AttentionMap::kBlock) - begin;
    return bars.exact && n_shown >= 3 && map_.keys.begin % AttentionMap::kBlock == 0;
  }

  void mass_strip(const AttentionBars& bars, const Rect& area) {
    constexpr int64_t kBlock = AttentionMap::kBlock;
    const int64_t begin = map_.keys.begin / kBlock;
    // Whole blocks only: the last one may reach beyond the newest key, and so beyond the plot.
    int64_t end = std::min(std::ssize(bars.mass), (map_.keys.end + kBlock - 1) / kBlock);
    while (end > begin && key_x(static_cast<float>(end * kBlock)) > area.right() + 0.5f) --end;
    if (end == begin) return;
    const int scale = b_.scene.add_scale({.low = 0, .high = 1, .transfer = Transfer::kSquareRoot});
    const int axis = b_.scene.add_axis({.name = "key",
                                        .unit = "token",
                                        .means = SceneAxis::Means::kKey,
                                        .begin = map_.keys.begin,
                                        .end = end * kBlock,
                                        .per_cell = kBlock});
    b_.scene.add(Tile{.name = "block mass of the row",
                      .rect = {area.x, area.y, key_x(static_cast<float>(end * kBlock)) - area.x, area.height},
                      .rows = 1,
                      .cols = static_cast<int>(end - begin),
                      .values = std::vector<float>(bars.mass.begin() + begin, bars.mass.begin() + end),
                      .scale = scale,
                      .col_axis = axis,
                      .probe = "attention.mass"});
    b_.provenance(provenance_of(history_, bars.mass_row, now_.layer, now_.head));
  }

  // Names under the bars, the heaviest first, where they do not touch one another.
  void token_labels(const AttentionBars& bars, const Rect& plot) {
    struct Span {
      float left;
      float right;
    };
    std::vector<Span> taken;
    const float y = plot.bottom() + 1 + b_.label() / 2;
    std::vector<AttentionBars::Top> wanted = bars.top;
    if (now_.key >= 0) wanted.insert(wanted.begin(), {now_.key, 0});
    for (const AttentionBars::Top& top : wanted) {
      if (top.key < map_.keys.begin || top.key >= map_.keys.end) continue;
      const std::string name = b_.fit(token_name(history_, top.key), TextSize::kLabel, 110);
      const float w = b_.width(name, TextSize::kLabel);
      if (name.empty() || w > plot.width) continue;
      const float centre = key_x(static_cast<float>(top.key) + 0.5f);
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

  void record_row(const AttentionBars& bars, const Rect& plot) {
    Series series{.name = bars.exact ? "row" : "top 32",
                  .probe = bars.exact ? "attention.row" : std::string(bars.row.frame->probe->name),
                  .unit = "",
                  .x_name = "key"};
    if (bars.exact) {
      for (size_t key = 0; key < bars.weights.size(); ++key) {
        series.x.push_back(static_cast<double>(key));
        series.y.push_back(static_cast<double>(bars.weights[key]));
      }
    } else {
      for (const auto& top : bars.top) {
        series.x.push_back(static_cast<double>(top.key));
        series.y.push_back(static_cast<double>(top.weight));
        series.labels.push_back(token_name(history_, top.key));
      }
      b_.scene.series.push_back({.name = "left out",
                                 .probe = "attention.rest",
                                 .x_name = "step",
                                 .x = {static_cast<double>(now_.step)},
                                 .y = {static_cast<double>(bars.left_out)}});
    }
    b_.scene.series.push_back(std::move(series));
    Provenance p = provenance_of(history_, bars.row, now_.layer, now_.head);
    if (!bars.exact) p.note = "32 largest weights";
    b_.provenance(std::move(p));
    const int axis = b_.scene.add_axis({.name = "key",
                                        .unit = "token",
                                        .means = SceneAxis::Means::kKey,
                                        .begin = map_.keys.begin,
                                        .end = map_.keys.end,
                                        .per_cell = map_.keys_per_col});
    b_.scene.regions.push_back(
        {.rect = plot, .rows = 1, .cols = map_.cols, .col_axis = axis, .wheel_zooms_keys = true});
  }

  const FrameHistory& history_;
  const ViewState& state_;
  const std::string_view no_exact_row_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
  FrameRow heads_row_;
  AttentionMap map_;
  Rect plot_;  // of the map
};

class AttentionView final : public View {
 public:
  std::string_view name() const override { return "attention"; }
  std::string_view title() const override { return "Attention"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    for (const LayerConfig& layer : info.config.layers) {
      if (layer.has(MixerKind::kAttention)) return std::nullopt;
    }
    return "This model has no attention layers.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    return {{find_probe(find_head_scalar(state.head_scalar).name), step, step + 1},
            {find_probe("attention.row"), steps.begin, steps.end},
            {find_probe("attention.mass"), steps.begin, steps.end},
            {find_probe("attention.top"), steps.begin, steps.end},
            {find_probe("attention.rest"), step, step + 1}};
  }
  std::optional<WantedRow> wanted_row(const FrameHistory& history, const ViewState& state) const override {
    const Selection now = resolve_for(MixerKind::kAttention, history, state);
    if (now.step < 0 || now.layer < 0 || now.head < 0) return std::nullopt;
    return WantedRow{find_probe("attention.row"), now.step, now.layer, now.head};
  }
  Scene scene(const SceneInput& input) const override { return AttentionPicture(input).draw(); }
};

}  // namespace

const View& attention_view() {
  static const AttentionView kView;
  return kView;
}

}  // namespace orrery
