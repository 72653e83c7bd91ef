// Attention: layers x heads -> the map of one head -> one row of it.
#include <algorithm>

#include "views/attention_heads.h"
#include "views/attention_row_chart.h"
#include "views/key_axis.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastOverviewWidth = 500;  // of the body, for the overview to stand beside the map
constexpr float kLeastRowHeight = 250;      // of the body, for the row to stand under the map
constexpr float kGap = 18;
constexpr float kLeastCell =
    1.5f;  // px: finer cells are not told apart, and cost four times as much to fill and upload

class AttentionPicture {
 public:
  explicit AttentionPicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        state_(input.state),
        b_(input, "attention", "Attention"),
        now_(resolve_for(MixerKind::kAttention, input.history, input.state)),
        n_(history_.n_processed()) {
    b_.scene.selection = now_;
  }

  Scene draw() {
    if (b_.says_why_empty(attention_view(), history_)) return b_.finish();
    subtitle();
    Rect rest = b_.body;
    AttentionHeads heads(b_, input_, now_);
    const float taken = rest.width >= kLeastOverviewWidth ? heads.draw(rest) : 0;
    if (taken > 0) rest = rest.inset(taken + kGap, 0, 0, 0);
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
    if (!row_area.empty()) AttentionRowChart(b_, input_, now_, keys_).draw(row_area);
    if (taken > 0 && heads.row()) b_.provenance(provenance_of(history_, heads.row()));
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = layer_name(history_.info(), now_.layer);
    if (now_.head >= 0) text += " · head " + std::to_string(now_.head);
    b_.subtitle(text + " · " + step_text(history_, now_.step));
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
  float left_gutter() const { return b_.width(std::to_string(n_), TextSize::kLabel) + 6; }

  void map(const Rect& area) {
    const float lh = b_.label();
    const bool has_bar = area.height >= 170;
    const float foot = lh + 3 + (has_bar ? b_.scale_bar_height() + 4 : 0);
    // In a low dock the map comes before its heading; the upper half of the topmost tick has its room.
    const bool has_heading = area.height >= b_.heading_height() + 20 + foot;
    const Rect plot = area.inset(left_gutter(), has_heading ? b_.heading_height() : lh / 2 + 1, 1, foot);
    if (plot.width < 20 || plot.height < 14) return;
    const StepRange steps = visible_range(state_.steps, n_);
    const StepRange keys = visible_range(state_.keys, n_);
    map_ = attention_map(history_, now_, steps, keys, static_cast<int>(plot.height / kLeastCell),
                         static_cast<int>(plot.width / kLeastCell));
    keys_ = {.plot = plot,
             .keys = map_.keys,
             .end = map_.keys.begin + map_.cols * map_.keys_per_col,
             .per_col = map_.keys_per_col};
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
  float row_y(int64_t step) const {
    const auto span = static_cast<float>(std::max<int64_t>(steps_end() - map_.steps.begin, 1));
    return keys_.plot.y + static_cast<float>(step - map_.steps.begin) / span * keys_.plot.height;
  }
  Rect rows_rect(const AttentionMap::Rows& rows) const {
    const float from = row_y(map_.steps.begin + rows.begin * map_.steps_per_row);
    const float to = row_y(map_.steps.begin + rows.end * map_.steps_per_row);
    return {keys_.plot.x, from, keys_.plot.width, to - from};
  }

  std::pair<int, int> map_axes(const Rect& plot) {
    SceneAxis rows{.name = "step",
                   .unit = "token",
                   .means = SceneAxis::Means::kStep,
                   .begin = map_.steps.begin,
                   .end = map_.steps.end,
                   .per_cell = map_.steps_per_row};
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
    const int row_axis = b_.scene.add_axis(std::move(rows));
    return {row_axis, keys_.add_axis(b_, map_.keys_per_col, keys_.draw_ticks(b_, plot))};
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
      const int block_axis = keys_.add_axis(b_, AttentionMap::kBlock);
      const float width = keys_.x(static_cast<double>(map_.keys.end)) - keys_.plot.x;
      add_map_tile("block mass", "attention.mass", map_.block_rows, map_.block_cols, width, std::move(map_.mass), scale,
                   block_axis);
    }
    add_map_tile("exact rows", "attention.row", map_.exact_rows, map_.cols, keys_.plot.width, std::move(map_.exact),
                 scale, col_axis);
    if (map_.marks.empty()) return;
    const int marks = b_.scene.add_scale({.map = ColourMapId::kMarks, .transfer = Transfer::kSquareRoot});
    add_map_tile("top 32", "attention.top", map_.block_rows, map_.cols, keys_.plot.width, std::move(map_.marks), marks,
                 col_axis);
  }

  void horizontal_mark(int64_t step, Paint paint) {
    if (step < map_.steps.begin || step >= map_.steps.end) return;
    const float top = row_y(step);
    const float height = row_y(step + 1) - top;
    if (height >= 5) {
      b_.box({keys_.plot.x, top, keys_.plot.width, height}, Paint::none(), paint);
    } else {
      b_.rule({keys_.plot.x, top + height / 2}, {keys_.plot.right(), top + height / 2}, paint);
    }
  }

  void map_cursor() {
    horizontal_mark(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f));
    keys_.draw_marks(b_, keys_.plot, state_, now_.key);
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

  const SceneInput& input_;
  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
  AttentionMap map_;
  KeyAxis keys_;  // of the map
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
    const bool has_marks = steps.size() <= AttentionMap::kMostMarkedSteps;
    std::vector<Wanted> list{{find_probe(find_head_scalar(state.head_scalar).name), step, step + 1},
                             {find_probe("attention.row"), steps.begin, steps.end},
                             {find_probe("attention.mass"), step, step + 1},
                             {find_probe("attention.top"), step, step + 1},
                             {find_probe("attention.rest"), step, step + 1}};
    if (has_marks) list.push_back({find_probe("attention.top"), steps.begin, steps.end});
    return list;
  }
  std::optional<WantedMass> wanted_mass(const FrameHistory& history, const ViewState& state) const override {
    const Selection now = resolve_for(MixerKind::kAttention, history, state);
    if (now.layer < 0 || now.head < 0) return std::nullopt;
    return WantedMass{now.layer, now.head, visible_range(state.steps, history.n_steps())};
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
