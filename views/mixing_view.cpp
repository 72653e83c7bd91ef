// Mixing: every mixer of every layer as who read from whom at the selected step, on one axis of keys: attention rows,
// implied rows of recurrences, taps of convolutions; below, the selected layer's mixers head by head.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/mixing_cells.h"
#include "views/scene_builder.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastWithRows = 330;  // of the body, for the selected layer's rows to stand below the lanes
constexpr float kLeastWithBars = 130;  // of the lanes' area, for scale bars
constexpr float kLeastTags = 560;      // of the body, for what a lane's weights are to stand beside it
constexpr float kLeastLane = 5;
constexpr float kMostLane = 64;
constexpr float kMostRow = 320;  // of the selected layer's, each
constexpr float kLeastRow = 26;  // height of one mixer's bars
constexpr float kLeastCell = 1.5f;

// One kind of weights: its colours, and what its scale bar says.
struct Look {
  LaneKind kind;
  const char* name;
  ColourMapId map;
  Paint paint;  // of bars
};
const std::array<Look, 3> kLooks{{
    {LaneKind::kAttention, "attention weight", ColourMapId::kSequential, Paint::of(ColourRole::kSeries1)},
    {LaneKind::kState, "implied weight, signed", ColourMapId::kDiverging, Paint::of(ColourRole::kSeries1)},
    {LaneKind::kTaps, "size of a tap's part", ColourMapId::kSequential, Paint::of(ColourRole::kSeries2)},
}};
constexpr size_t look_of(LaneKind kind) { return kind == LaneKind::kState ? 1 : kind == LaneKind::kTaps ? 2 : 0; }

class MixingPicture {
 public:
  explicit MixingPicture(const SceneInput& input)
      : history_(input.history),
        state_(input.state),
        b_(input, "mixing", "Mixing"),
        now_(resolve(input.history, input.state)),
        n_(history_.n_processed()),
        lanes_(mixing_lanes(history_.info().config)) {
    b_.scene.selection = now_;
  }

  Scene draw() {
    if (b_.says_why_empty(mixing_view(), history_)) return b_.finish();
    subtitle();
    const Rect body = b_.body;
    Rect upper = body;
    Rect lower;
    const auto n_own = static_cast<float>(std::ranges::count(lanes_, now_.layer, &MixingLane::layer));
    if (body.height >= kLeastWithRows && n_own > 0) {
      // The lanes take what they need, the selected layer's rows the rest.
      const float lanes =
          heading() + 2 * b_.label() + b_.scale_bar_height() + 8 + kMostLane * static_cast<float>(lanes_.size());
      const float least = std::clamp(body.height * 0.36f, 90.0f, 120.0f * n_own + 30);
      const float height = std::clamp(body.height - lanes - 8, least, std::max(least, kMostRow * n_own));
      upper.height = std::min(body.height - height - 8, lanes);
      lower = {body.x, upper.bottom() + 8, body.width, height};
    }
    if (!place(upper)) return b_.finish();
    read();
    lanes();
    if (!lower.empty()) rows(lower);
    notes();
    return b_.finish();
  }

 private:
  std::string token_at(int64_t step) const {
    if (step < 0 || step >= history_.n_steps()) return "";
    return token_label(history_.tokens()[static_cast<size_t>(step)].bytes);
  }

  void subtitle() {
    std::string text = "step " + std::to_string(now_.step) + " " + token_at(now_.step) + " reads";
    const int64_t key = state_.hovered.key >= 0 ? state_.hovered.key : now_.key;
    if (key >= 0) text += " · key " + std::to_string(key) + " " + token_at(key);
    b_.subtitle(text);
  }

  // --- the lanes' place, and which of them fit ---
  float heading() const { return 1.5f * b_.label() + 1; }

  bool place(const Rect& area) {
    has_bars_ = area.height >= kLeastWithBars;
    for (const MixingLane& lane : lanes_) gutter_ = std::max(gutter_, b_.width(lane.name, TextSize::kLabel));
    gutter_ = std::max(std::min(gutter_, area.width * 0.35f), b_.width("-0.000", TextSize::kLabel)) + 8;
    const bool has_state = std::ranges::find(lanes_, LaneKind::kState, &MixingLane::kind) != lanes_.end();
    const char* longest = has_state ? "implied, signed, recomputed" : "no row is defined";
    tags_ = area.width >= kLeastTags ? b_.width(longest, TextSize::kLabel) + 8 : 2;
    const float foot = b_.label() + 4 + (has_bars_ ? b_.scale_bar_height() + 4 : 0);
    area_ = area;
    plot_ = area.inset(gutter_, heading(), tags_, foot);
    if (plot_.width < 20 || plot_.height < kLeastLane) return false;
    // As many as have their least height, around the selected layer.
    const auto n = std::min(lanes_.size(), static_cast<size_t>(plot_.height / kLeastLane));
    const auto own = std::ranges::find(lanes_, now_.layer, &MixingLane::layer);
    const size_t middle = own == lanes_.end() ? 0 : static_cast<size_t>(own - lanes_.begin());
    first_ = std::min(middle - std::min(middle, n / 2), lanes_.size() - n);
    end_ = first_ + n;
    pitch_ = std::min(plot_.height / static_cast<float>(n), kMostLane);
    plot_.height = pitch_ * static_cast<float>(n);
    return true;
  }

  void read() {
    const bool prefers_blocks = is_long_for_rows(history_, now_.step);
    const auto max_cols = static_cast<int>(plot_.width / kLeastCell);
    keys_ = visible_range(state_.keys, n_);
    const auto read_all = [&] {
      cells_.clear();
      for (size_t i = first_; i < end_; ++i) {
        cells_.push_back(lane_cells(history_, lanes_[i], now_.step, keys_, max_cols, prefers_blocks));
      }
    };
    read_all();
    // Blocks need whole blocks: then all lanes have them, so that keys stand below each other.
    if (std::ranges::any_of(cells_, [](const LaneCells& lane) { return lane.form == LaneForm::kBlockMass; })) {
      keys_.begin = keys_.begin / 64 * 64;
      keys_.end = ceil_div(keys_.end, 64) * 64;
      read_all();
    }
    const int64_t per_col = bin_size(keys_.size(), max_cols);
    keys_end_ = keys_.begin + ceil_div(keys_.size(), per_col) * per_col;
    per_col_ = per_col;
    std::array<float, kLooks.size()> most{};
    for (size_t i = first_; i < end_; ++i) {
      float& of_kind = most[look_of(lanes_[i].kind)];
      of_kind = std::max(of_kind, cells_[i - first_].most);
    }
    for (size_t look = 0; look < kLooks.size(); ++look) {
      const float high =
          look == look_of(LaneKind::kAttention) ? std::max(most[look], 1.0f) : std::max(most[look], 1e-9f);
      scales_[look] = b_.scene.add_scale({.map = kLooks[look].map,
                                          .low = kLooks[look].map == ColourMapId::kDiverging ? -high : 0,
                                          .high = high,
                                          .transfer = Transfer::kSquareRoot});
    }
  }

  float key_x(double key) const {
    const auto span = static_cast<double>(std::max<int64_t>(keys_end_ - keys_.begin, 1));
    return plot_.x + static_cast<float>((key - static_cast<double>(keys_.begin)) / span) * plot_.width;
  }
  // Where [begin, end) of the keys lies, within the plot.
  Rect keys_rect(const Rect& rect, int64_t begin, int64_t end) const {
    const float from = key_x(static_cast<double>(std::clamp(begin, keys_.begin, keys_end_)));
    const float to = key_x(static_cast<double>(std::clamp(end, keys_.begin, keys_end_)));
    return {from, rect.y, to - from, rect.height};
  }

  int key_axis(int64_t per_cell, std::vector<Tick> ticks = {}) {
    return b_.scene.add_axis({.name = "key",
                              .unit = "token",
                              .means = SceneAxis::Means::kKey,
                              .begin = keys_.begin,
                              .end = keys_.end,
                              .per_cell = per_cell,
                              .ticks = std::move(ticks)});
  }

  std::vector<Tick> key_ticks(const Rect& plot) {
    const auto low = static_cast<double>(keys_.begin);
    const auto high = static_cast<double>(keys_end_);
    return b_.axis({.plot = plot,
                    .low = low,
                    .high = high,
                    .ticks = round_ticks(low, high - 1, static_cast<int>(plot.width / 70), true),
                    .grid = false,
                    .cells = true});
  }

  // --- all mixers ---
  void lanes() {
    b_.label({area_.x, area_.y + b_.label() / 2}, "mixers × keys, heads together: the weight greatest in size",
             area_.width);
    b_.box(plot_, Paint::none(), Paint::of(ColourRole::kGrid));
    axis_ = key_axis(per_col_, key_ticks(plot_));
    for (size_t i = first_; i < end_; ++i) lane(i);
    // Later than the step.
    b_.box(keys_rect(plot_, now_.step + 1, keys_end_), Paint::of(ColourRole::kGrid, 0.35f));
    frame_selected();
    marks(plot_);
    if (!has_bars_) return;
    bars_of_scales();
  }

  Rect lane_rect(size_t i) const {
    const float y = plot_.y + static_cast<float>(i - first_) * pitch_;
    const bool ends_layer = i + 1 == lanes_.size() || lanes_[i + 1].layer != lanes_[i].layer;
    return {plot_.x, y, plot_.width, pitch_ - (ends_layer && pitch_ >= 8 ? 1.5f : 0.0f)};
  }

  void lane(size_t i) {
    const MixingLane& lane = lanes_[i];
    const LaneCells& cells = cells_[i - first_];
    const Rect rect = lane_rect(i);
    const int row_axis = b_.scene.add_axis(
        {.name = "mixer", .means = SceneAxis::Means::kLayer, .ids = {lane.layer}, .labels = {lane.name}});
    HitRegion region{.rect = rect, .rows = 1, .row_axis = row_axis, .wheel_zooms_keys = true};
    if (cells.form == LaneForm::kMissing) {
      b_.hatch(keys_rect(rect, keys_.begin, now_.step + 1));
      region.cols = static_cast<int>(ceil_div(keys_.size(), per_col_));
      region.col_axis = axis_;
      region.tooltip = lane.name + ": " + why_missing(lane);
    } else {
      region.cols = cells.cols;
      region.col_axis = cells.form == LaneForm::kBlockMass ? key_axis(cells.keys_per_col) : axis_;
      region.tile_item = b_.scene.add(
          Tile{.name = lane.name,
               .rect = keys_rect(rect, cells.keys.begin, cells.keys.begin + cells.cols * cells.keys_per_col),
               .rows = 1,
               .cols = cells.cols,
               .values = cells.values,
               .scale = scales_[look_of(lane.kind)],
               .row_axis = row_axis,
               .col_axis = region.col_axis,
               .probe = std::string(cells.row.frame->probe->name)});
      region.rect = std::get<Tile>(b_.scene.items.back()).rect;
      b_.box(keys_rect(rect, cells.unseen.begin, cells.unseen.end), Paint::of(ColourRole::kGrid, 0.75f));
      provenance(cells, lane);
    }
    b_.scene.regions.push_back(std::move(region));
    lane_texts(i, rect, cells);
  }

  // Its name on the left, what its weights are on the right; as many as fit.
  void lane_texts(size_t i, const Rect& rect, const LaneCells& cells) {
    const auto every = static_cast<size_t>(std::max(1.0f, std::ceil(b_.label() / pitch_)));
    if ((i - first_) % every != 0) return;
    const bool chosen = lanes_[i].layer == now_.layer;
    const Paint paint = Paint::of(chosen ? ColourRole::kForeground : ColourRole::kMuted);
    b_.label({rect.x - 5, rect.centre().y}, lanes_[i].name, gutter_ - 6, Align::kRight, paint, TextRole::kTick);
    if (tags_ > 10) {
      b_.label({rect.right() + 6, rect.centre().y}, tag(lanes_[i], cells), tags_ - 8, Align::kLeft,
               Paint::of(ColourRole::kMuted));
    }
  }

  static std::string tag(const MixingLane& lane, const LaneCells& cells) {
    if (lane.kind == LaneKind::kFastWeights) return "no row is defined";
    std::string text = lane_form_name(cells.form);
    if (cells.form == LaneForm::kImplied) text += std::string(", ") + origin_name(cells.row.frame->origin);
    if (cells.n_heads < lane.n_heads && cells.form != LaneForm::kMissing) {
      text += ", " + std::to_string(cells.n_heads) + " of " + std::to_string(lane.n_heads) + " heads";
    }
    return text;
  }

  static std::string why_missing(const MixingLane& lane) {
    switch (lane.kind) {
      case LaneKind::kState:
        return "implied rows are computed again: shot --model, or export --recompute of state.row";
      case LaneKind::kFastWeights:
        return "nothing says which tokens weights that learn read from";
      case LaneKind::kAttention:
        return "neither attention.row nor attention.mass is recorded at this step";
      case LaneKind::kTaps:
        break;
    }
    return "conv.taps is not recorded at this step";
  }

  void frame_selected() {
    size_t from = end_;
    size_t to = first_;
    for (size_t i = first_; i < end_; ++i) {
      if (lanes_[i].layer != now_.layer) continue;
      from = std::min(from, i);
      to = i + 1;
    }
    if (from >= to) return;
    b_.box({plot_.x, plot_.y + static_cast<float>(from - first_) * pitch_, plot_.width,
            static_cast<float>(to - from) * pitch_},
           Paint::none(), Paint::of(ColourRole::kAccent));
  }

  void marks(const Rect& plot) {
    const auto mark = [&](int64_t key, Paint paint) {
      if (key < keys_.begin || key >= keys_.end) return;
      const float x = key_x(static_cast<double>(key) + 0.5);
      b_.rule({x, plot.y}, {x, plot.bottom()}, paint);
    };
    mark(state_.hovered.key, Paint::of(ColourRole::kHover, 0.7f));
    mark(now_.key, Paint::of(ColourRole::kAccent, 0.8f));
  }

  void bars_of_scales() {
    std::vector<size_t> drawn;
    for (size_t look = 0; look < kLooks.size(); ++look) {
      bool any = false;
      for (size_t i = first_; i < end_; ++i) {
        any |= look_of(lanes_[i].kind) == look && cells_[i - first_].form != LaneForm::kMissing;
      }
      if (any) drawn.push_back(look);
    }
    const Rect row{plot_.x, plot_.bottom() + b_.label() + 7, plot_.width + tags_ - 2, 0};
    const float width = row.width / static_cast<float>(std::max<size_t>(drawn.size(), 1));
    for (size_t i = 0; i < drawn.size(); ++i) {
      const bool blocks = drawn[i] == look_of(LaneKind::kAttention) && has_blocks();
      const float room = width - (i + 1 < drawn.size() ? 16 : 0);
      b_.scale_bar({row.x + static_cast<float>(i) * width, row.y, room, 0}, scales_[drawn[i]],
                   blocks ? "attention weight; sums of 64 keys" : kLooks[drawn[i]].name, format_value);
    }
  }

  bool has_blocks() const {
    return std::ranges::any_of(cells_, [](const LaneCells& lane) { return lane.form == LaneForm::kBlockMass; });
  }

  // --- the selected layer, head by head ---
  void rows(const Rect& area) {
    std::vector<const MixingLane*> own;
    for (const MixingLane& lane : lanes_) {
      if (lane.layer == now_.layer) own.push_back(&lane);
    }
    const float foot = b_.label() + 4;
    const auto fit = static_cast<size_t>((area.height - foot) / (heading() + kLeastRow));
    if (fit < own.size()) own.resize(fit);
    if (own.empty()) return;
    const float pitch = (area.height - foot) / static_cast<float>(own.size());
    for (size_t i = 0; i < own.size(); ++i) {
      const float top = area.y + static_cast<float>(i) * pitch;
      // Half a line below, for the lowest tick.
      const Rect plot{plot_.x, top + heading(), plot_.width, pitch - heading() - b_.label() / 2};
      row(*own[i], plot, {area.x, top + b_.label() / 2});
      if (i + 1 == own.size()) key_ticks(plot);
    }
  }

  int32_t head_of(const MixingLane& lane) const {
    return lane.n_heads > 0 ? std::clamp(state_.selected.head, 0, lane.n_heads - 1) : -1;
  }

  std::string row_name(const MixingLane& lane) const {
    const int32_t head = head_of(lane);
    if (head < 0) return lane.name;
    const LayerConfig& layer = history_.info().config.layers[static_cast<size_t>(lane.layer)];
    return lane.name + ", " +
           (lane.kind == LaneKind::kState ? state_head_name(layer, head) : "head " + std::to_string(head));
  }

  std::string row_heading(const MixingLane& lane, const LaneRow& row) const {
    std::string text = row_name(lane) + ": ";
    switch (row.form) {
      case LaneForm::kMissing:
        return text + why_missing(lane);
      case LaneForm::kBlockMass:
        text += row.values.empty() ? "the 32 largest" : "block mass";
        if (!row.top.empty() && !row.values.empty()) text += ", over it the 32 largest";
        return text + "; left out " +
               (std::isnan(row.left_out) ? "not recorded" : format_value(static_cast<double>(row.left_out)));
      case LaneForm::kImplied:
        return text + "implied, signed, " + origin_name(row.row.frame->origin);
      case LaneForm::kExact:
        return text + "exact";
      case LaneForm::kTaps:
        break;
    }
    return text + "its taps, mean size over channels";
  }

  void row(const MixingLane& lane, const Rect& plot, Point heading_at) {
    const LaneRow row = lane_row(history_, lane, head_of(lane), now_.step);
    b_.label(heading_at, row_heading(lane, row), plot_.right() - heading_at.x, Align::kLeft,
             Paint::of(ColourRole::kForeground));
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    if (row.form == LaneForm::kMissing) return b_.hatch(keys_rect(plot, keys_.begin, now_.step + 1));
    double low = 0;
    double high = 1e-9;
    const auto widen = [&](float value) {
      if (std::isnan(value)) return;
      low = std::min(low, static_cast<double>(value));
      high = std::max(high, static_cast<double>(value));
    };
    for (const float value : row.values) widen(value);
    for (const auto& [key, weight] : row.top) widen(weight);
    b_.axis({.plot = plot,
             .vertical = true,
             .low = low,
             .high = high,
             .ticks = round_ticks(low, high, std::clamp(static_cast<int>(plot.height / 36), 2, 8), false),
             .format = format_tick});
    const auto y_of = [&](double value) {
      return plot.bottom() - static_cast<float>((value - low) / (high - low)) * plot.height;
    };
    const bool behind = row.form == LaneForm::kBlockMass;
    const Paint paint = kLooks[look_of(lane.kind)].paint;
    value_bars(row, plot, y_of, behind ? Paint::of(ColourRole::kSeries1, 0.25f) : paint);
    for (const auto& [key, weight] : row.top) {
      if (key < keys_.begin || key >= keys_.end) continue;
      const float x = key_x(static_cast<double>(key));
      const float width = std::max(key_x(static_cast<double>(key + 1)) - x, 1.5f);
      b_.box({x, y_of(static_cast<double>(weight)), width, y_of(0) - y_of(static_cast<double>(weight))}, paint);
    }
    if (low < 0) b_.rule({plot.x, y_of(0)}, {plot.right(), y_of(0)}, Paint::of(ColourRole::kMuted));
    if (lane.window > 0) {
      b_.box(keys_rect(plot, keys_.begin, now_.step - lane.window + 1), Paint::of(ColourRole::kGrid, 0.75f));
    }
    b_.box(keys_rect(plot, now_.step + 1, keys_end_), Paint::of(ColourRole::kGrid, 0.35f));
    marks(plot);
    record(lane, row);
    HitRegion region{.rect = plot,
                     .rows = 1,
                     .cols = static_cast<int>(ceil_div(keys_.size(), per_col_)),
                     .col_axis = axis_,
                     .wheel_zooms_keys = true};
    region.base.layer = lane.layer;
    b_.scene.regions.push_back(std::move(region));
  }

  // One bar a value, or the greatest and the least of those that share a pixel.
  template <typename Y>
  void value_bars(const LaneRow& row, const Rect& plot, const Y& y_of, Paint paint) {
    const int64_t first = keys_.begin / row.keys_per_value;
    const int64_t end = std::min(ceil_div(keys_.end, row.keys_per_value), std::ssize(row.values));
    const float pitch = key_x(static_cast<double>(row.keys_per_value)) - key_x(0);
    const auto per_bar = static_cast<int64_t>(std::max(1.0f, std::ceil(1 / std::max(pitch, 1e-6f))));
    const float gap = pitch > 4 ? 1.0f : 0.0f;
    for (int64_t i = first; i < end; i += per_bar) {
      float least = 0;
      float most = 0;
      for (int64_t j = i; j < std::min(i + per_bar, end); ++j) {
        const float value = row.values[static_cast<size_t>(j)];
        if (value > most) most = value;
        if (value < least) least = value;
      }
      const float left = key_x(static_cast<double>(i * row.keys_per_value));
      const float width = std::max(pitch * static_cast<float>(per_bar) - gap, 1.0f);
      const auto bar = [&](float value, Paint with) {
        const float a = y_of(0);
        const float b = y_of(static_cast<double>(value));
        if (std::fabs(a - b) > 0.2f) {
          b_.box({left, std::min(a, b), std::min(width, plot.right() - left), std::fabs(a - b)}, with);
        }
      };
      if (most > 0) bar(most, paint);
      if (least < 0) bar(least, Paint::of(ColourRole::kSeries3));
    }
  }

  void record(const MixingLane& lane, const LaneRow& row) {
    Series series{
        .name = row_name(lane),
        .probe = row.form == LaneForm::kBlockMass ? "attention.mass" : std::string(row.row.frame->probe->name),
        .unit = "",
        .x_name = row.keys_per_value > 1 ? "first key of a block" : "key"};
    for (size_t i = 0; i < row.values.size(); ++i) {
      series.x.push_back(static_cast<double>(static_cast<int64_t>(i) * row.keys_per_value));
      series.y.push_back(static_cast<double>(row.values[i]));
    }
    b_.scene.series.push_back(std::move(series));
    if (!row.top.empty()) {
      Series top{.name = row_name(lane) + ", 32 largest", .probe = "attention.top", .unit = "", .x_name = "key"};
      for (const auto& [key, weight] : row.top) {
        top.x.push_back(static_cast<double>(key));
        top.y.push_back(static_cast<double>(weight));
        top.labels.push_back(token_at(key));
      }
      b_.scene.series.push_back(std::move(top));
    }
    Provenance p = provenance_of(history_, row.row, lane.layer, head_of(lane));
    if (row.form == LaneForm::kBlockMass) p.note = "block mass, approximate positions";
    b_.provenance(std::move(p));
  }

  // --- words ---
  // Of each kind of weights once.
  void provenance(const LaneCells& cells, const MixingLane& lane) {
    const std::string probe(cells.row.frame->probe->name);
    if (std::ranges::find(b_.scene.provenance, probe, &Provenance::probe) != b_.scene.provenance.end()) return;
    Provenance p = provenance_of(history_, cells.row);
    if (lane.n_heads > 0) p.note = "greatest in size of the heads";
    if (cells.form == LaneForm::kBlockMass) {
      p.note += ", block mass, approximate positions";
      p.exact = false;
    }
    b_.provenance(std::move(p));
  }

  void notes() {
    if (end_ - first_ < lanes_.size()) {
      b_.note("Shows " + std::to_string(end_ - first_) + " of " + std::to_string(lanes_.size()) +
              " mixers, around the selected layer.");
    }
    if (per_col_ > 1) {
      b_.note("Each cell shows the weight greatest in size of " + std::to_string(per_col_) + " keys and all heads.");
    }
    bool any_window = false;
    std::array<bool, 4> told{};
    for (size_t i = first_; i < end_; ++i) {
      any_window |= lanes_[i].window > 0;
      bool& is_told = told[static_cast<size_t>(lanes_[i].kind)];
      if (cells_[i - first_].form != LaneForm::kMissing || is_told) continue;
      is_told = true;
      b_.note("Hatched, " + lanes_[i].name + ": " + why_missing(lanes_[i]) + ".");
    }
    if (has_blocks()) b_.note("Block mass: sums of weights over 64 keys, not their positions.");
    b_.note(any_window ? "Grey: later than the step, or outside the window." : "Grey: later than the step.");
  }

  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
  const std::vector<MixingLane> lanes_;
  std::vector<LaneCells> cells_;  // of lanes [first_, end_)
  size_t first_ = 0;
  size_t end_ = 0;
  Rect area_;
  Rect plot_;  // of the lanes
  float pitch_ = 0;
  float gutter_ = 0;
  float tags_ = 0;
  bool has_bars_ = false;
  StepRange keys_;
  int64_t keys_end_ = 0;  // with the whole last cell
  int64_t per_col_ = 1;
  int axis_ = -1;  // of keys, in cells of per_col_
  std::array<int, kLooks.size()> scales_{};
};

class MixingView final : public View {
 public:
  std::string_view name() const override { return "mixing"; }
  std::string_view title() const override { return "Mixing"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (!mixing_lanes(info.config).empty()) return std::nullopt;
    return "This model has no layer in which tokens mix.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    std::vector<Wanted> wanted;
    for (const char* name :
         {"attention.row", "attention.mass", "attention.top", "attention.rest", "conv.taps", "state.row"}) {
      wanted.push_back({find_probe(name), step, step + 1});
    }
    return wanted;
  }
  Scene scene(const SceneInput& input) const override { return MixingPicture(input).draw(); }
};

}  // namespace

const View& mixing_view() {
  static const MixingView kView;
  return kView;
}

}  // namespace orrery
