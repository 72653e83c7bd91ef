#include "views/mixing_rows.h"

#include <algorithm>
#include <cmath>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/step_names.h"

namespace orrery {
namespace {

constexpr float kLeastRow = 26;  // height of one mixer's bars

}  // namespace

void MixingRows::draw(const Rect& area) {
  std::vector<const MixingLane*> own;
  for (const MixingLane& lane : lanes_) {
    if (lane.layer == now_.layer) own.push_back(&lane);
  }
  const float foot = b_.label() + 4;
  const auto fit = static_cast<size_t>((area.height - foot) / (b_.heading_height() + kLeastRow));
  if (fit < own.size()) own.resize(fit);
  if (own.empty()) return;
  const float pitch = (area.height - foot) / static_cast<float>(own.size());
  for (size_t i = 0; i < own.size(); ++i) {
    const float top = area.y + static_cast<float>(i) * pitch;
    // Half a line below, for the lowest tick.
    const Rect plot{keys_.plot.x, top + b_.heading_height(), keys_.plot.width,
                    pitch - b_.heading_height() - b_.label() / 2};
    row(*own[i], plot, {area.x, top + b_.label() / 2});
    if (i + 1 == own.size()) keys_.draw_ticks(b_, plot);
  }
}

int32_t MixingRows::head_of(const MixingLane& lane) const {
  return lane.n_heads > 0 ? std::clamp(state_.selected.head, 0, lane.n_heads - 1) : -1;
}

std::string MixingRows::row_name(const MixingLane& lane) const {
  const int32_t head = head_of(lane);
  if (head < 0) return lane.name;
  const LayerConfig& layer = history_.info().config.layers[static_cast<size_t>(lane.layer)];
  return lane.name + ", " +
         (lane.kind == LaneKind::kState ? state_head_name(layer, head) : "head " + std::to_string(head));
}

std::string MixingRows::row_heading(const MixingLane& lane, const LaneRow& row) const {
  std::string text = row_name(lane) + ": ";
  switch (row.form) {
    case LaneForm::kMissing:
      return text + why_missing(lane.kind);
    case LaneForm::kBlockMass:
      text += row.values.empty() ? "the 32 largest" : "block mass";
      if (!row.top.empty() && !row.values.empty()) text += ", over it the 32 largest";
      return text + "; left out " +
             (std::isnan(row.left_out) ? "not recorded" : format_value(static_cast<double>(row.left_out)));
    case LaneForm::kImplied:
      return text + "implied, signed, " + origin_name(row.row.frame->origin);
    case LaneForm::kExact:
      return text + "exact";
    case LaneForm::kLeft:
      return text + "the token was not in that iteration";
    case LaneForm::kTaps:
      break;
  }
  return text + "its taps, mean size over channels";
}

void MixingRows::row(const MixingLane& lane, const Rect& plot, Point heading_at) {
  const LaneRow row = lane_row(history_, lane, head_of(lane), now_.step);
  b_.label(heading_at, row_heading(lane, row), keys_.plot.right() - heading_at.x, Align::kLeft,
           Paint::of(ColourRole::kForeground));
  b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
  const Rect seen = keys_.within(plot, keys_.keys.begin, now_.step + 1);
  if (row.form == LaneForm::kMissing) return b_.hatch(seen);
  if (row.form == LaneForm::kLeft) return b_.box(seen, SceneBuilder::blank());
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
  const Paint paint = Paint::of(kMixingLooks[mixing_look_of(lane.kind)].bars);
  // Signed ones have the colours of their map, half way to its ends.
  const bool is_signed = lane.kind == LaneKind::kState;
  const float half = b_.scene.scales[static_cast<size_t>(signed_scale_)].high / 2;
  value_bars(row, plot, y_of,
             is_signed ? Paint::mapped(signed_scale_, half)
             : behind  ? Paint::of(ColourRole::kSeries1, 0.25f)
                       : paint,
             Paint::mapped(signed_scale_, -half));
  for (const auto& [key, weight] : row.top) {
    if (key < keys_.keys.begin || key >= keys_.keys.end) continue;
    const float x = keys_.x(static_cast<double>(key));
    const float width = std::max(keys_.x(static_cast<double>(key + 1)) - x, 1.5f);
    b_.box({x, y_of(static_cast<double>(weight)), width, y_of(0) - y_of(static_cast<double>(weight))}, paint);
  }
  if (low < 0) b_.rule({plot.x, y_of(0)}, {plot.right(), y_of(0)}, Paint::of(ColourRole::kMuted));
  if (lane.window > 0) {
    b_.box(keys_.within(plot, keys_.keys.begin, now_.step - lane.window + 1), Paint::of(ColourRole::kGrid, 0.75f));
  }
  keys_.draw_later(b_, plot, now_.step);
  keys_.draw_marks(b_, plot, state_, now_.key);
  record(lane, row);
  HitRegion region{.rect = plot,
                   .rows = 1,
                   .cols = static_cast<int>(ceil_div(keys_.keys.size(), keys_.per_col)),
                   .col_axis = axis_,
                   .wheel_zooms_keys = true};
  region.base.layer = lane.layer;
  b_.scene.regions.push_back(std::move(region));
}

// One bar a value, or the greatest and the least of those that share a pixel.
template <typename Y>
void MixingRows::value_bars(const LaneRow& row, const Rect& plot, const Y& y_of, Paint up, Paint down) {
  const int64_t first = keys_.keys.begin / row.keys_per_value;
  const int64_t end = std::min(ceil_div(keys_.keys.end, row.keys_per_value), std::ssize(row.values));
  const float pitch = keys_.x(static_cast<double>(row.keys_per_value)) - keys_.x(0);
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
    const float begins = keys_.x(static_cast<double>(i * row.keys_per_value));
    const float left = std::max(begins, plot.x);
    const float width = std::max(pitch * static_cast<float>(per_bar) - gap - (left - begins), 1.0f);
    const auto bar = [&](float value, Paint with) {
      const float a = y_of(0);
      const float b = y_of(static_cast<double>(value));
      if (std::fabs(a - b) > 0.2f) {
        b_.box({left, std::min(a, b), std::min(width, plot.right() - left), std::fabs(a - b)}, with);
      }
    };
    if (most > 0) bar(most, up);
    if (least < 0) bar(least, down);
  }
}

void MixingRows::record(const MixingLane& lane, const LaneRow& row) {
  Series series{.name = row_name(lane),
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
      top.labels.push_back(token_at(history_, key));
    }
    b_.scene.series.push_back(std::move(top));
  }
  Provenance p = provenance_of(history_, row.row, lane.layer, head_of(lane));
  if (row.form == LaneForm::kBlockMass) {
    p.note = row.top.empty() ? "block mass, approximate positions" : "32 largest weights";
  }
  b_.provenance(std::move(p));
}

}  // namespace orrery
