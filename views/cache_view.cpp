// Cache: bytes by component over the steps, bytes by layer at the selected step, keys held and dropped; of what is
// held, block by block, whose it is, how old, and how much it is read.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/cache_block_map.h"
#include "views/frame_rows.h"
#include "views/scene_builder.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr int kComponents = 4;
constexpr std::array<const char*, kComponents> kNames{"keys and values", "recurrent state", "convolution state",
                                                      "fast weights"};
constexpr float kLeastLayersWidth = 480;   // of the body, for the layers to stand beside the lines
constexpr float kLeastLayersHeight = 300;  // else under them
constexpr float kLeastLegendHeight = 100;  // of the body: below it the chart comes first
constexpr float kLeastBlocksHeight = 270;  // of the body, for the block map to stand below
constexpr float kLeastBlocksWidth = 300;

Paint component_paint(int component, float alpha = 1) { return Paint::of(series_role(component), alpha); }

// Bytes by component over columns of steps; each column takes the last held step in it.
struct CacheLines {
  std::vector<int64_t> steps;                          // [n] ascending
  std::array<std::vector<double>, kComponents> bytes;  // [n]
  double highest = 0;
  FrameRow last;
};

CacheLines cache_lines(const FrameHistory& history, StepRange range, int max_points) {
  CacheLines lines;
  const Probe* probe = find_probe("cache.bytes");
  if (probe == nullptr) return lines;
  const int64_t stride = std::max<int64_t>(1, (range.size() + max_points - 1) / std::max(max_points, 1));
  int64_t column = -1;
  for_each_row(history, *probe, range.begin, range.end, [&](const FrameRow& row) {
    const int64_t at = row.step / stride;
    // Only the last step of a column is added up: the first of the next column shows where that was.
    const bool is_last = (row.step + 1) % stride == 0 || row.step + 1 == range.end;
    if (!is_last && at == column) return;
    if (at == column && !lines.steps.empty()) {
      lines.steps.pop_back();
      for (auto& values : lines.bytes) values.pop_back();
    }
    column = at;
    std::array<double, kComponents> sums{};
    const std::span<const int64_t> values = row.i64();
    for (size_t i = 0; i < values.size(); ++i) sums[i % kComponents] += static_cast<double>(values[i]);
    lines.steps.push_back(row.step);
    for (size_t c = 0; c < kComponents; ++c) {
      lines.bytes[c].push_back(sums[c]);
      lines.highest = std::max(lines.highest, sums[c]);
    }
    lines.last = row;
  });
  return lines;
}

class CachePicture {
 public:
  explicit CachePicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        state_(input.state),
        b_(input, "cache", "Cache"),
        now_(b_.scene.selection),
        n_(history_.n_processed()) {}

  Scene draw() {
    if (n_ == 0) {
      b_.message("No step has been processed yet.");
      return b_.finish();
    }
    const Probe* probe = find_probe("cache.bytes");
    const FrameRow row = probe == nullptr ? FrameRow{} : history_.row(*probe, now_.step);
    if (b_.body.height >= kLeastLegendHeight) legend(row);
    if (b_.body.height >= kLeastBlocksHeight && b_.body.width >= kLeastBlocksWidth && has_keys()) {
      CacheBlockMap blocks(b_, input_, now_);
      const float height = std::min(b_.body.height * 0.46f, blocks.wanted_height());
      blocks.draw({b_.body.x, b_.body.bottom() - height, b_.body.width, height});
      b_.body = b_.body.inset(0, 0, 0, height + 10);
    }
    Rect lines_area = b_.body;
    Rect layers_area;
    if (b_.body.width >= kLeastLayersWidth) {
      const float width = std::clamp(b_.body.width * 0.36f, 190.0f, 520.0f);
      lines_area = b_.body.inset(0, 0, width + 18, 0);
      layers_area = {b_.body.right() - width, b_.body.y, width, b_.body.height};
    } else if (b_.body.height >= kLeastLayersHeight) {
      const float height = b_.body.height * 0.5f;
      lines_area = b_.body.inset(0, 0, 0, height + 8);
      layers_area = {b_.body.x, b_.body.bottom() - height, b_.body.width, height};
    }
    subtitle(row);
    lines(lines_area);
    if (!layers_area.empty()) layers(layers_area, row);
    return b_.finish();
  }

 private:
  bool has_keys() const { return !attention_layers(history_.info().config).empty(); }

  // The components that there are, of lines and bars alike, with what each holds at the selected step where that fits.
  void legend(const FrameRow& row) {
    std::array<double, kComponents> held{};
    const std::span<const int64_t> values = row ? row.i64() : std::span<const int64_t>{};
    for (size_t i = 0; i < values.size(); ++i) held[i % kComponents] += static_cast<double>(values[i]);
    std::vector<std::pair<std::string, Paint>> names;
    std::vector<std::pair<std::string, Paint>> with_bytes;
    float width = 0;
    for (int c = 0; c < kComponents; ++c) {
      const double bytes = held[static_cast<size_t>(c)];
      if (row && bytes == 0) continue;
      names.emplace_back(kNames[static_cast<size_t>(c)], component_paint(c));
      with_bytes.emplace_back(names.back().first + " " + format_bytes(bytes), component_paint(c));
      width += b_.width(with_bytes.back().first, TextSize::kLabel) + 28;
    }
    const bool has_room = row && width <= b_.body.width;
    b_.legend({b_.body.x, b_.body.y + b_.label() / 2}, b_.body.width, has_room ? with_bytes : names);
    b_.body = b_.body.inset(0, b_.label() + 4, 0, 0);
  }

  void subtitle(const FrameRow& row) {
    if (!row) {
      b_.subtitle("step " + std::to_string(now_.step) + ": not recorded");
      return;
    }
    double total = 0;
    for (const int64_t bytes : row.i64()) total += static_cast<double>(bytes);
    std::string text = "step " + std::to_string(now_.step) + ": " + format_bytes(total);
    const std::string entries = keys_held();
    if (!entries.empty()) text += " · " + entries;
    b_.subtitle(text);
  }

  // "512 keys a layer, 0 dropped", or those of the selected layer where layers differ.
  std::string keys_held() {
    bool all_alike = true;
    const auto count_at = [&](const char* name) -> int64_t {
      const Probe* probe = find_probe(name);
      const FrameRow row = probe == nullptr ? FrameRow{} : history_.row(*probe, now_.step);
      if (!row || row.frame->layers.empty()) return -1;
      const std::span<const int32_t> counts = row.i32();
      Series series{.name = name, .probe = name, .unit = "keys", .x_name = "layer"};
      series.x.assign(row.frame->layers.begin(), row.frame->layers.end());
      series.y.assign(counts.begin(), counts.end());
      b_.scene.series.push_back(std::move(series));
      all_alike = all_alike &&
                  std::count(counts.begin(), counts.end(), counts[0]) == static_cast<std::ptrdiff_t>(counts.size());
      const int64_t index = row.frame->layer_index(now_.layer);
      if (index >= 0) return counts[static_cast<size_t>(index)];
      return all_alike ? counts[0] : -1;
    };
    const int64_t held = count_at("cache.entries");
    const int64_t dropped = count_at("cache.evicted");
    if (held < 0) return "";
    std::string text = std::to_string(held) + " keys ";
    text += all_alike ? keys_of() : "in " + layer_name(history_.info(), now_.layer);
    if (dropped >= 0) text += ", " + std::to_string(dropped) + " dropped";
    return text;
  }

  std::string keys_of() const {
    const std::vector<LayerConfig>& layers = history_.info().config.layers;
    const bool all = std::ranges::all_of(layers, [](const LayerConfig& l) { return l.has(MixerKind::kAttention); });
    return all ? "a layer" : "in each layer with attention";
  }

  void lines(const Rect& area) {
    const StepRange range = visible_range(state_.steps, n_);
    const float lh = b_.label();
    const float gutter = b_.width("1000 KiB", TextSize::kLabel) + 6;
    const Rect plot = area.inset(gutter, b_.heading_height(), 2, lh + 4);
    if (plot.width < 30 || plot.height < 20) return;
    const CacheLines lines = cache_lines(history_, range, static_cast<int>(plot.width / 2));
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    if (lines.steps.empty()) {
      b_.label({area.x, area.y + lh / 2}, "bytes over steps: not recorded", area.width);
      b_.hatch(plot);
      return;
    }
    const double high = std::max(lines.highest * 1.05, 1.0);
    SceneAxis bytes{.name = "cache", .unit = "bytes"};
    bytes.ticks = b_.axis({.plot = plot,
                           .vertical = true,
                           .high = high,
                           .ticks = byte_ticks(0, high, std::max(2, static_cast<int>(plot.height / 36))),
                           .format = format_bytes});
    SceneAxis steps = b_.step_axis(plot, range, 1, range.end);
    const auto x_of = [&](int64_t step) {
      return plot.x + (static_cast<float>(step - range.begin) + 0.5f) / static_cast<float>(range.size()) * plot.width;
    };
    const int step_axis = b_.scene.add_axis(std::move(steps));
    b_.scene.add_axis(std::move(bytes));
    hatch_missing(range, plot);
    for (int c = kComponents - 1; c >= 0; --c) {
      const std::vector<double>& values = lines.bytes[static_cast<size_t>(c)];
      const double most = *std::max_element(values.begin(), values.end());
      Series series{.name = kNames[static_cast<size_t>(c)],
                    .probe = "cache.bytes",
                    .unit = "bytes",
                    .x_name = "step",
                    .y = values};
      series.x.assign(lines.steps.begin(), lines.steps.end());
      b_.scene.series.push_back(std::move(series));
      if (most == 0) continue;
      Polyline line{.paint = component_paint(c), .width = 2};
      for (size_t i = 0; i < values.size(); ++i) {
        line.points.push_back(
            {x_of(lines.steps[i]), plot.bottom() - static_cast<float>(values[i] / high) * plot.height});
      }
      if (line.points.size() == 1) {
        b_.box({line.points[0].x - 2, line.points[0].y - 2, 4, 4}, line.paint);
      } else {
        b_.scene.add(std::move(line));
      }
    }
    b_.label({area.x, area.y + lh / 2}, "bytes held, by step", area.width);
    if (state_.hovered.step >= range.begin && state_.hovered.step < range.end) {
      b_.rule({x_of(state_.hovered.step), plot.y}, {x_of(state_.hovered.step), plot.bottom()},
              Paint::of(ColourRole::kHover, 0.7f));
    }
    if (now_.step >= range.begin && now_.step < range.end) {
      b_.rule({x_of(now_.step), plot.y}, {x_of(now_.step), plot.bottom()}, Paint::of(ColourRole::kAccent));
    }
    b_.scene.regions.push_back({.rect = plot,
                                .scrub = true,
                                .rows = 1,
                                .cols = static_cast<int>(range.size()),
                                .col_axis = step_axis,
                                .wheel_zooms_steps = true});
    Provenance p = provenance_of(history_, lines.last);
    p.step_begin = lines.steps.front();
    p.step_end = lines.steps.back() + 1;
    b_.provenance(std::move(p));
  }

  void hatch_missing(StepRange range, const Rect& plot) {
    const auto spans =
        history_.missing(*find_probe("cache.bytes"), range.begin, std::min(range.end, history_.n_processed()));
    const float per_step = plot.width / static_cast<float>(range.size());
    for (const auto& [begin, end] : spans) {
      b_.hatch({plot.x + static_cast<float>(begin - range.begin) * per_step, plot.y,
                static_cast<float>(end - begin) * per_step, plot.height});
    }
  }

  void layers(const Rect& area, const FrameRow& row) {
    const float lh = b_.label();
    b_.label({area.x, area.y + lh / 2}, "bytes by layer, step " + std::to_string(now_.step), area.width);
    Rect plot = area.inset(0, lh + 6, 4, lh + 4);
    if (plot.height < 20) return;
    if (!row) {
      b_.hatch(plot);
      return;
    }
    const std::vector<int32_t>& ids = row.frame->layers;
    const std::span<const int64_t> values = row.i64();
    double high = 1;
    std::vector<double> totals(ids.size(), 0);
    for (size_t i = 0; i < ids.size(); ++i) {
      for (size_t c = 0; c < kComponents; ++c) totals[i] += static_cast<double>(values[i * kComponents + c]);
      high = std::max(high, totals[i] * 1.02);
    }
    const float gutter = std::min(b_.names_width(history_.info(), ids), area.width * 0.45f);
    plot = plot.inset(gutter + 6, 0, 0, 0);
    SceneAxis layer_axis = layer_rows(history_.info(), ids);
    SceneAxis bytes{.name = "cache", .unit = "bytes"};
    const float pitch = std::min(plot.height / static_cast<float>(std::max<size_t>(ids.size(), 1)), 22.0f);
    plot.height = pitch * static_cast<float>(ids.size());
    bytes.ticks = b_.axis({.plot = plot,
                           .high = high,
                           .ticks = byte_ticks(0, high, std::max(1, static_cast<int>(plot.width / 80))),
                           .format = format_bytes});
    const auto every = static_cast<size_t>(std::max(1.0f, std::ceil(lh / pitch)));
    std::array<Series, kComponents> series;
    for (size_t c = 0; c < kComponents; ++c) {
      series[c] = {
          .name = std::string(kNames[c]) + " by layer", .probe = "cache.bytes", .unit = "bytes", .x_name = "layer"};
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      const float top = plot.y + static_cast<float>(i) * pitch;
      const bool chosen = ids[i] == now_.layer;
      if (i % every == 0) {
        b_.label({plot.x - 6, top + pitch / 2}, b_.fit_row_name(layer_axis.labels[i], gutter), gutter, Align::kRight,
                 Paint::of(chosen ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kTick);
      }
      float x = plot.x;
      for (size_t c = 0; c < kComponents; ++c) {
        const auto value = static_cast<double>(values[i * kComponents + c]);
        const auto w = static_cast<float>(value / high) * plot.width;
        b_.box({x, top + pitch * 0.14f, w, pitch * 0.72f}, component_paint(static_cast<int>(c)));
        x += w;
        series[c].x.push_back(ids[i]);
        series[c].y.push_back(value);
      }
      if (chosen) b_.box({plot.x, top, plot.width, pitch}, Paint::none(), Paint::of(ColourRole::kAccent));
    }
    for (Series& one : series) b_.scene.series.push_back(std::move(one));
    const int axis = b_.scene.add_axis(std::move(layer_axis));
    b_.scene.add_axis(std::move(bytes));
    b_.scene.regions.push_back({.rect = plot, .rows = static_cast<int>(ids.size()), .cols = 1, .row_axis = axis});
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
};

class CacheView final : public View {
 public:
  std::string_view name() const override { return "cache"; }
  std::string_view title() const override { return "Cache"; }
  std::optional<std::string> unavailable(const RunInfo&) const override { return std::nullopt; }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const StepRange range = visible_range(state.steps, history.n_steps());
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    const StepRange received = received_steps(history.info().config, step);
    return {{find_probe("cache.bytes"), range.begin, range.end},
            {find_probe("cache.entries"), step, step + 1},
            {find_probe("cache.evicted"), step, step + 1},
            {find_probe("attention.mass"), received.begin, received.end}};
  }
  Scene scene(const SceneInput& input) const override { return CachePicture(input).draw(); }
};

}  // namespace

const View& cache_view() {
  static const CacheView kView;
  return kView;
}

}  // namespace orrery
