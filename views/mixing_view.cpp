// Mixing: every mixer of every layer as who read from whom at the selected step, on one axis of keys: attention rows,
// implied rows of recurrences, taps of convolutions; below, the selected layer's mixers head by head.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/key_axis.h"
#include "views/mixing_cells.h"
#include "views/mixing_looks.h"
#include "views/mixing_rows.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastWithRows = 330;  // of the body, for the selected layer's rows to stand below the lanes
constexpr float kLeastWithBars = 130;  // of the lanes' area, for scale bars
constexpr float kLeastTags = 560;      // of the body, for what a lane's weights are to stand beside it
constexpr float kLeastLane = 5;
constexpr float kMostLane = 64;
constexpr float kMostRow = 320;  // of the selected layer's, each
constexpr float kLeastCell = 1.5f;

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
      const float lanes = b_.heading_height() + 2 * b_.label() + b_.scale_bar_height() + 8 +
                          kMostLane * static_cast<float>(lanes_.size());
      const float least = std::clamp(body.height * 0.36f, 90.0f, 120.0f * n_own + 30);
      const float height = std::clamp(body.height - lanes - 8, least, std::max(least, kMostRow * n_own));
      upper.height = std::min(body.height - height - 8, lanes);
      lower = {body.x, upper.bottom() + 8, body.width, height};
    }
    if (!place(upper)) return b_.finish();
    read();
    lanes();
    if (!lower.empty())
      MixingRows(b_, history_, state_, now_, lanes_, keys_, axis_, scales_[mixing_look_of(LaneKind::kState)])
          .draw(lower);
    notes();
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = step_text(history_, now_.step) + " reads";
    const int64_t key = state_.hovered.key >= 0 ? state_.hovered.key : now_.key;
    if (key >= 0) text += " · key " + std::to_string(key) + " " + token_at(history_, key);
    b_.subtitle(text);
  }

  // --- the lanes' place, and which of them fit ---

  bool place(const Rect& area) {
    has_bars_ = area.height >= kLeastWithBars;
    for (const MixingLane& lane : lanes_) gutter_ = std::max(gutter_, b_.width(lane.name, TextSize::kLabel));
    gutter_ = std::max(std::min(gutter_, area.width * 0.35f), b_.width("-0.000", TextSize::kLabel)) + 8;
    const bool has_state = std::ranges::find(lanes_, LaneKind::kState, &MixingLane::kind) != lanes_.end();
    const char* longest = has_state ? "implied, signed, recomputed" : "no row is defined";
    tags_ = area.width >= kLeastTags ? b_.width(longest, TextSize::kLabel) + 8 : 2;
    const float foot = b_.label() + 4 + (has_bars_ ? b_.scale_bar_height() + 4 : 0);
    area_ = area;
    plot_ = area.inset(gutter_, b_.heading_height(), tags_, foot);
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
    keys_.plot = plot_;
    keys_.keys = visible_range(state_.keys, n_);
    const auto read_all = [&] {
      cells_.clear();
      for (size_t i = first_; i < end_; ++i) {
        cells_.push_back(lane_cells(history_, lanes_[i], now_.step, keys_.keys, max_cols, prefers_blocks));
      }
    };
    read_all();
    // Blocks need whole blocks: then all lanes have them, so that keys stand below each other.
    if (has_blocks()) {
      keys_.keys.begin = keys_.keys.begin / 64 * 64;
      keys_.keys.end = ceil_div(keys_.keys.end, 64) * 64;
      read_all();
    }
    keys_.per_col = bin_size(keys_.keys.size(), max_cols);
    keys_.end = keys_.keys.begin + ceil_div(keys_.keys.size(), keys_.per_col) * keys_.per_col;
    std::array<float, kMixingLooks.size()> most{};
    for (size_t i = first_; i < end_; ++i) {
      float& of_kind = most[mixing_look_of(lanes_[i].kind)];
      of_kind = std::max(of_kind, cells_[i - first_].most);
    }
    for (size_t look = 0; look < kMixingLooks.size(); ++look) {
      const float high =
          look == mixing_look_of(LaneKind::kAttention) ? std::max(most[look], 1.0f) : std::max(most[look], 1e-9f);
      scales_[look] = b_.scene.add_scale({.map = kMixingLooks[look].map,
                                          .low = kMixingLooks[look].map == ColourMapId::kDiverging ? -high : 0,
                                          .high = high,
                                          .transfer = Transfer::kSquareRoot});
    }
  }

  // --- all mixers ---
  void lanes() {
    b_.label({area_.x, area_.y + b_.label() / 2}, "mixers × keys, heads together: the weight greatest in size",
             area_.width);
    b_.box(plot_, Paint::none(), Paint::of(ColourRole::kGrid));
    axis_ = keys_.add_axis(b_, keys_.per_col, keys_.draw_ticks(b_, plot_));
    for (size_t i = first_; i < end_; ++i) lane(i);
    keys_.draw_later(b_, plot_, now_.step);
    frame_selected();
    keys_.draw_marks(b_, plot_, state_, now_.key);
    if (!has_bars_) return;
    bars_of_scales();
  }

  Rect lane_rect(size_t i) const {
    const float y = plot_.y + static_cast<float>(i - first_) * pitch_;
    const bool ends_layer = i + 1 == lanes_.size() || lanes_[i + 1].layer != lanes_[i].layer;
    return {plot_.x, y, plot_.width, pitch_ - (ends_layer && pitch_ >= 8 ? 1.5f : 0.0f)};
  }

  static bool has_weights(const LaneCells& cells) {
    return cells.form != LaneForm::kMissing && cells.form != LaneForm::kLeft;
  }

  void lane(size_t i) {
    const MixingLane& lane = lanes_[i];
    const LaneCells& cells = cells_[i - first_];
    const Rect rect = lane_rect(i);
    const int row_axis = b_.scene.add_axis(
        {.name = "mixer", .means = SceneAxis::Means::kLayer, .ids = {lane.layer}, .labels = {lane.name}});
    HitRegion region{.rect = rect, .rows = 1, .row_axis = row_axis, .wheel_zooms_keys = true};
    if (!has_weights(cells)) {
      const Rect seen = keys_.within(rect, keys_.keys.begin, now_.step + 1);
      const bool is_left = cells.form == LaneForm::kLeft;
      is_left ? b_.box(seen, SceneBuilder::blank()) : b_.hatch(seen);
      region.cols = static_cast<int>(ceil_div(keys_.keys.size(), keys_.per_col));
      region.col_axis = axis_;
      region.tooltip = lane.name + ": " + (is_left ? "the token was not in that iteration" : why_missing(lane.kind));
    } else {
      region.cols = cells.cols;
      region.col_axis = cells.form == LaneForm::kBlockMass ? keys_.add_axis(b_, cells.keys_per_col) : axis_;
      region.tile_item = b_.scene.add(
          Tile{.name = lane.name,
               .rect = keys_.within(rect, cells.keys.begin, cells.keys.begin + cells.cols * cells.keys_per_col),
               .rows = 1,
               .cols = cells.cols,
               .values = cells.values,
               .scale = scales_[mixing_look_of(lane.kind)],
               .row_axis = row_axis,
               .col_axis = region.col_axis,
               .probe = std::string(cells.row.frame->probe->name)});
      region.rect = std::get<Tile>(b_.scene.items.back()).rect;
      b_.box(keys_.within(rect, cells.unseen.begin, cells.unseen.end), Paint::of(ColourRole::kGrid, 0.75f));
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
    b_.label({rect.x - 5, rect.centre().y}, b_.fit_row_name(lanes_[i].name, gutter_ - 6), gutter_ - 6, Align::kRight,
             paint, TextRole::kTick);
    if (tags_ > 10) {
      b_.label({rect.right() + 6, rect.centre().y}, tag(lanes_[i], cells), tags_ - 8, Align::kLeft,
               Paint::of(ColourRole::kMuted));
    }
  }

  static std::string tag(const MixingLane& lane, const LaneCells& cells) {
    if (lane.kind == LaneKind::kFastWeights) return "no row is defined";
    std::string text = lane_form_name(cells.form);
    if (cells.form == LaneForm::kImplied) text += std::string(", ") + origin_name(cells.row.frame->origin);
    if (cells.n_heads < lane.n_heads && has_weights(cells)) {
      text += ", " + std::to_string(cells.n_heads) + " of " + std::to_string(lane.n_heads) + " heads";
    }
    return text;
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

  void bars_of_scales() {
    std::vector<size_t> drawn;
    for (size_t look = 0; look < kMixingLooks.size(); ++look) {
      bool any = false;
      for (size_t i = first_; i < end_; ++i) {
        any |= mixing_look_of(lanes_[i].kind) == look && has_weights(cells_[i - first_]);
      }
      if (any) drawn.push_back(look);
    }
    const Rect row{plot_.x, plot_.bottom() + b_.label() + 7, plot_.width + tags_ - 2, 0};
    const float width = row.width / static_cast<float>(std::max<size_t>(drawn.size(), 1));
    for (size_t i = 0; i < drawn.size(); ++i) {
      const bool blocks = drawn[i] == mixing_look_of(LaneKind::kAttention) && has_blocks();
      const float room = width - (i + 1 < drawn.size() ? 16 : 0);
      b_.scale_bar({row.x + static_cast<float>(i) * width, row.y, room, 0}, scales_[drawn[i]],
                   blocks ? "attention weight; sums of 64 keys" : kMixingLooks[drawn[i]].name, format_value);
    }
  }

  bool has_blocks() const {
    return std::ranges::any_of(cells_, [](const LaneCells& lane) { return lane.form == LaneForm::kBlockMass; });
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
    if (keys_.per_col > 1) {
      b_.note("Each cell shows the weight greatest in size of " + std::to_string(keys_.per_col) +
              " keys and all heads.");
    }
    bool any_window = false;
    bool any_left = false;
    std::array<bool, 4> told{};
    for (size_t i = first_; i < end_; ++i) {
      any_window |= lanes_[i].window > 0;
      any_left |= cells_[i - first_].form == LaneForm::kLeft;
      bool& is_told = told[static_cast<size_t>(lanes_[i].kind)];
      if (cells_[i - first_].form != LaneForm::kMissing || is_told) continue;
      is_told = true;
      b_.note("Hatched, " + lanes_[i].name + ": " + why_missing(lanes_[i].kind) + ".");
    }
    if (has_blocks()) b_.note("Block mass: sums of weights over 64 keys, not their positions.");
    if (any_left) b_.note("Grey lanes: the token was not in that iteration.");
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
  KeyAxis keys_;
  int axis_ = -1;  // of keys, in cells of keys_.per_col
  std::array<int, kMixingLooks.size()> scales_{};
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
  // Of the selected layer, whose heads stand below.
  std::optional<WantedRow> wanted_row(const FrameHistory& history, const ViewState& state) const override {
    const Selection now = resolve(history, state);
    if (now.step < 0 || now.layer < 0) return std::nullopt;
    const LayerConfig& layer = history.info().config.layers[static_cast<size_t>(now.layer)];
    const bool has_state = layer.has(MixerKind::kMatrixState);
    if (!has_state && !layer.has(MixerKind::kAttention)) return std::nullopt;
    return WantedRow{find_probe(has_state ? "state.row" : "attention.row"), now.step, now.layer, 0};
  }
  Scene scene(const SceneInput& input) const override { return MixingPicture(input).draw(); }
};

}  // namespace

const View& mixing_view() {
  static const MixingView kView;
  return kView;
}

}  // namespace orrery
