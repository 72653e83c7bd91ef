// Text: token by token, tinted by a per-token scalar; the thing that ties the views together.
#include <algorithm>
#include <cmath>
#include <limits>

#include "views/attention_cells.h"
#include "views/frame_rows.h"
#include "views/scene_builder.h"
#include "views/text_layout.h"
#include "views/token_scalars.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLineGap = 4;
constexpr int kWheelLines = 3;
constexpr float kPromptAlpha = 0.68f;      // over the tint, so that it stays readable on strong ones
constexpr float kLeastReadWeight = 0.01f;  // of a key that is underlined

class TextPicture {
 public:
  explicit TextPicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        state_(input.state),
        b_(input, "text", "Text"),
        now_(b_.scene.selection),
        scalar_(shown_token_scalar(state_)),
        token_place_(place_of(now_, state_)) {}

  Scene draw() {
    if (history_.n_steps() == 0) {
      b_.message("No tokens yet.");
      return b_.finish();
    }
    const bool has_bar = b_.body.height >= 110 && b_.body.width >= 160;
    area_ = b_.body.inset(0, 0, 0, has_bar ? b_.scale_bar_height() + 6 : 0);
    pitch_ = b_.line(TextSize::kText) + kLineGap;
    place();
    read_values();
    read_row();
    record();
    for (size_t i = first_line_; i < end_line_; ++i)
      line(lines_[i], static_cast<float>(i - first_line_) * pitch_ + area_.y);
    if (has_bar) bar();
    scroll_region();
    provenance();
    return b_.finish();
  }

 private:
  size_t line_of(int64_t step) const {
    const auto after = std::upper_bound(lines_.begin(), lines_.end(), step,
                                        [](int64_t s, const TextLine& l) { return s < l.begin(); });
    return after == lines_.begin() ? 0 : static_cast<size_t>(after - lines_.begin() - 1);
  }

  // Lays out the text around what is to be seen and chooses the lines.
  void place() {
    const auto capacity = static_cast<size_t>(std::max(1.0f, std::floor(area_.height / pitch_)));
    const int64_t last = history_.n_steps() - 1;
    const int64_t anchor = state_.text_top ? std::clamp<int64_t>(*state_.text_top, 0, last)
                           : state_.follow ? last
                                           : std::clamp<int64_t>(now_.step, 0, last);
    const auto [begin, end] = layout_window(history_.tokens(), anchor);
    lines_ = layout_text(history_.tokens(), begin, end, input_.metrics, std::max(area_.width, 20.0f));
    const size_t at = line_of(anchor);
    size_t first = at;
    if (!state_.text_top)
      first = state_.follow ? (at + 1 > capacity ? at + 1 - capacity : 0) : at - std::min(at, capacity / 2);
    const size_t latest = lines_.size() > capacity ? lines_.size() - capacity : 0;
    first_line_ = std::min(first, latest);
    end_line_ = std::min(lines_.size(), first_line_ + capacity);
    if (area_.height < pitch_ * 0.6f) end_line_ = first_line_;
    begin_ = end_line_ > first_line_ ? lines_[first_line_].begin() : 0;
    end_ = end_line_ > first_line_ ? lines_[end_line_ - 1].end() : 0;
  }

  // The colours' range is that of the whole laid-out text, so that scrolling does not recolour it.
  void read_values() {
    const int64_t from = lines_.empty() ? 0 : lines_.front().begin();
    const int64_t to = lines_.empty() ? 0 : lines_.back().end();
    const std::vector<float> all = token_values(scalar_, history_, from, to, token_place_);
    float high = scalar_.fixed_high;
    float low = 0;
    for (const float value : all) {
      if (!std::isfinite(value)) continue;
      if (scalar_.fixed_high <= 0 && value > high) high = value;
      if (value > 0 && (low == 0 || value < low)) low = value;
    }
    if (scalar_.transfer != Transfer::kLogarithm) low = 0;
    scale_ = b_.scene.add_scale({.map = ColourMapId::kTint,
                                 .low = low,
                                 .high = std::max(high, std::max(low * 1.001f, 1e-6f)),
                                 .transfer = scalar_.transfer});
    values_.assign(all.begin() + (begin_ - from), all.begin() + (end_ - from));
  }

  // What the selected head reads from the selected step: a line under each of its heaviest keys.
  void read_row() {
    const AttentionBars bars = attention_bars(history_, now_);
    if (bars.top.empty()) return;
    read_scale_ =
        b_.scene.add_scale({.map = ColourMapId::kMarks, .low = 0, .high = 1, .transfer = Transfer::kSquareRoot});
    read_.assign(static_cast<size_t>(end_ - begin_), std::numeric_limits<float>::quiet_NaN());
    Series series{.name = "read by the selected head",
                  .probe = std::string(bars.row.frame->probe->name),
                  .unit = "",
                  .x_name = "key"};
    for (const AttentionBars::Top& top : bars.top) {
      if (top.key < begin_ || top.key >= end_ || top.weight < kLeastReadWeight) continue;
      read_[static_cast<size_t>(top.key - begin_)] = top.weight;
      series.x.push_back(static_cast<double>(top.key));
      series.y.push_back(static_cast<double>(top.weight));
    }
    reads_ = std::move(series);
    Provenance p = provenance_of(history_, bars.row, now_.layer, now_.head);
    p.note = "underlined keys";
    read_provenance_ = std::move(p);
  }

  void record() {
    Series series{.name = std::string(scalar_.title),
                  .probe = std::string(scalar_.probe),
                  .unit = std::string(scalar_.unit),
                  .x_name = "step"};
    for (int64_t step = begin_; step < end_; ++step) {
      series.x.push_back(static_cast<double>(step));
      series.y.push_back(static_cast<double>(values_[static_cast<size_t>(step - begin_)]));
      series.labels.push_back(token_label(history_.tokens()[static_cast<size_t>(step)].bytes));
    }
    b_.scene.series.push_back(std::move(series));
    if (reads_) b_.scene.series.push_back(std::move(*reads_));
  }

  void line(const TextLine& line, float top) {
    HitRegion region{.rect = {area_.x, top, 0, pitch_}, .rows = 1};
    region.first_step = line.begin();
    region.series = 0;
    region.text_top = begin_;
    tint(line, top);
    for (const PlacedPiece& placed : line.pieces) {
      const float cell = placed.width / static_cast<float>(placed.piece.count);
      for (int64_t i = 0; i < placed.piece.count; ++i)
        region.edges.push_back(area_.x + placed.x + static_cast<float>(i) * cell);
      const Segment segment = history_.tokens()[static_cast<size_t>(placed.piece.first)].segment;
      b_.text({{area_.x + placed.x, top + pitch_ / 2},
               placed.piece.text,
               TextSize::kText,
               Align::kLeft,
               Paint::of(ColourRole::kForeground, segment == Segment::kGenerated ? 1.0f : kPromptAlpha),
               TextRole::kToken});
    }
    region.edges.push_back(area_.x + line.pieces.back().x + line.pieces.back().width);
    region.rect.width = region.edges.back() - area_.x;
    region.cols = static_cast<int>(region.edges.size()) - 1;
    marks(region, top);
    set_wheel(region);
    b_.scene.regions.push_back(std::move(region));
  }

  void tint(const TextLine& line, float top) {
    float missing_from = -1;
    const auto end_missing = [&](float x) {
      if (missing_from >= 0) b_.hatch({missing_from, top + 1, x - missing_from, pitch_ - 2});
      missing_from = -1;
    };
    float x = area_.x;
    for (const PlacedPiece& placed : line.pieces) {
      const float cell = placed.width / static_cast<float>(placed.piece.count);
      for (int64_t i = 0; i < placed.piece.count; ++i) {
        const float value = values_[static_cast<size_t>(placed.piece.first + i - begin_)];
        x = area_.x + placed.x + static_cast<float>(i) * cell;
        underline(placed.piece.first + i, {x, top + pitch_ - 3, std::max(cell - 1, 1.0f), 2});
        if (std::isnan(value)) {
          if (missing_from < 0) missing_from = x;
          continue;
        }
        end_missing(x);
        b_.box({x, top + 1, std::max(cell - 1, 1.0f), pitch_ - 2}, Paint::mapped(scale_, value));
      }
    }
    end_missing(line.pieces.back().x + line.pieces.back().width + area_.x);
  }

  void underline(int64_t step, const Rect& rect) {
    if (read_.empty()) return;
    const float weight = read_[static_cast<size_t>(step - begin_)];
    if (!std::isnan(weight)) b_.box(rect, Paint::mapped(read_scale_, weight));
  }

  void marks(const HitRegion& region, float top) {
    const auto outline = [&](int64_t step, Paint paint, float stroke) {
      const int64_t i = step - region.first_step;
      if (step < 0 || i < 0 || i >= region.cols) return;
      const float left = region.edges[static_cast<size_t>(i)];
      const float width = std::max(region.edges[static_cast<size_t>(i + 1)] - left, 4.0f);
      b_.box({left, top + 1, width, pitch_ - 2}, Paint::none(), paint, stroke, 3);
    };
    outline(state_.hovered.step, Paint::of(ColourRole::kHover), 1);
    outline(state_.hovered.key, Paint::of(ColourRole::kHover, 0.6f), 1);
    outline(now_.key, Paint::of(ColourRole::kAccent, 0.6f), 1);
    outline(now_.step, Paint::of(ColourRole::kAccent), 2);
  }

  void set_wheel(HitRegion& region) const {
    if (lines_.empty()) return;
    const size_t up = first_line_ - std::min<size_t>(first_line_, kWheelLines);
    const size_t down = std::min(first_line_ + kWheelLines, lines_.size() - 1);
    // At the edge of what is laid out the next window begins one token further.
    const int64_t up_step = first_line_ == 0 ? std::max<int64_t>(begin_ - 1, 0) : lines_[up].begin();
    if (begin_ > 0) region.wheel_up = ScrollText{up_step};
    if (end_ < history_.n_steps()) region.wheel_down = ScrollText{lines_[down].begin()};
  }

  // Under the lines: the wheel works between and beside them too.
  void scroll_region() {
    HitRegion region{.rect = area_};
    set_wheel(region);
    b_.scene.regions.insert(b_.scene.regions.begin(), std::move(region));
  }

  void bar() {
    std::string name = "tint: " + token_scalar_title(scalar_, history_, token_place_);
    if (!scalar_.unit.empty() && scalar_.unit != "bytes") name += " (" + std::string(scalar_.unit) + ")";
    name += " · grey: prompt";
    if (!read_.empty()) name += " · underlined: read by the selected head";
    b_.scale_bar({area_.x, area_.bottom() + 6, area_.width, 0}, scale_, name,
                 scalar_.unit == "bytes" ? format_bytes : format_value);
  }

  void provenance() {
    const Probe* probe = find_probe(scalar_.probe);
    if (probe == nullptr || end_ <= begin_) return;
    FrameRow last;
    for_each_row(history_, *probe, begin_, end_, [&](const FrameRow& row) { last = row; });
    if (!last) {
      b_.note(std::string(scalar_.probe) + " is not recorded here.");
      return;
    }
    Provenance p = provenance_of(history_, last, scalar_.per_layer ? now_.layer : -1);
    p.step_begin = begin_;
    p.step_end = end_;
    if (scalar_.name != scalar_.probe) p.note = scalar_.title;
    b_.provenance(std::move(p));
    if (read_provenance_) b_.provenance(std::move(*read_provenance_));
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const TokenScalar& scalar_;
  const TokenPlace token_place_;
  Rect area_;
  float pitch_ = 0;
  std::vector<TextLine> lines_;
  size_t first_line_ = 0;
  size_t end_line_ = 0;
  int64_t begin_ = 0;  // visible steps
  int64_t end_ = 0;
  int scale_ = 0;
  std::vector<float> values_;  // of the visible steps
  int read_scale_ = 0;
  std::vector<float> read_;  // weights of the selected row on the visible steps; NaN: not among the largest
  std::optional<Series> reads_;
  std::optional<Provenance> read_provenance_;
};

class TextView final : public View {
 public:
  std::string_view name() const override { return "text"; }
  std::string_view title() const override { return "Text"; }
  std::optional<std::string> unavailable(const RunInfo&) const override { return std::nullopt; }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    if (history.n_steps() == 0) return {};
    const int64_t anchor =
        std::clamp<int64_t>(state.text_top.value_or(resolve(history, state).step), 0, history.n_steps() - 1);
    const auto [begin, end] = layout_window(history.tokens(), anchor);
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    std::vector<Wanted> wanted{{find_probe("attention.row"), step, step + 1},
                               {find_probe("attention.top"), step, step + 1}};
    for (const Probe* probe : probes_of(shown_token_scalar(state))) wanted.push_back({probe, begin, end});
    return wanted;
  }
  Scene scene(const SceneInput& input) const override { return TextPicture(input).draw(); }
};

}  // namespace

const View& text_view() {
  static const TextView kView;
  return kView;
}

}  // namespace orrery
