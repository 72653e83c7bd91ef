// Recurrent state: what it holds, what each token writes and how much of it stays; layers x tokens, beside them the
// heads of one layer x tokens, and where it was computed the implied attention row of the selected head.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/head_maps.h"
#include "views/scene_builder.h"
#include "views/state_cells.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastRowArea = 260;  // of the body's height, for the implied row to stand below

const std::array<HeadLook, kStateQuantities> kLooks{{
    {head_quantity(StateQuantity::kNorm), "norm of the state", Transfer::kSquareRoot},
    {head_quantity(StateQuantity::kWrite), "write of the token", Transfer::kSquareRoot},
    {head_quantity(StateQuantity::kKeep), "kept by the token", Transfer::kLinear},
}};

class StatePicture {
 public:
  explicit StatePicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        b_(input, "state", "Recurrent state"),
        now_(resolve_for(MixerKind::kMatrixState, input.history, input.state)),
        n_(history_.n_processed()) {
    b_.scene.selection = now_;
  }

  Scene draw() {
    if (b_.says_why_empty(state_view(), history_)) return b_.finish();
    subtitle();
    const ImpliedRow implied = implied_row(history_, now_);
    Rect area = b_.body;
    if (implied.row && area.height >= kLeastRowArea) {
      const float height = std::clamp(area.height * 0.28f, 90.0f, 220.0f);
      draw_implied({area.x, area.bottom() - height, area.width, height}, implied);
      area = area.inset(0, 0, 0, height + 8);
    }
    HeadMaps(b_, input_, now_, kLooks).draw(area);
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = layer_name(history_.info(), now_.layer);
    if (now_.head >= 0) text += " · " + state_head_name(layer(), now_.head);
    text += " · step " + std::to_string(now_.step);
    if (now_.step >= 0 && now_.step < history_.n_steps()) {
      text += " " + token_label(history_.tokens()[static_cast<size_t>(now_.step)].bytes);
    }
    b_.subtitle(text);
  }

  const LayerConfig& layer() const { return history_.info().config.layers[static_cast<size_t>(now_.layer)]; }

  // --- the implied row: bars up and down from zero, by key ---
  void draw_implied(const Rect& area, const ImpliedRow& implied) {
    const float lh = b_.label();
    b_.label({area.x, area.y + lh / 2},
             "what " + state_head_name(layer(), now_.head) + " reads at step " + std::to_string(now_.step) +
                 ": implied attention row by key, signed, " + origin_name(implied.row.frame->origin),
             area.width);
    const float gutter = b_.width("-0.000", TextSize::kLabel) + 6;
    const Rect plot = area.inset(gutter, 1.5f * lh + 1, 2, lh + 4);
    if (plot.width < 20 || plot.height < 16) return;
    const auto [least, most] = std::ranges::minmax(implied.weights);
    const auto high = static_cast<double>(std::max(most, 1e-9f));
    const auto low = static_cast<double>(std::min(least, 0.0f));
    b_.axis({.plot = plot,
             .vertical = true,
             .low = low,
             .high = high,
             .ticks = round_ticks(low, high, std::max(2, static_cast<int>(plot.height / 36)), false),
             .format = format_tick});
    const auto n = static_cast<int64_t>(implied.weights.size());
    SceneAxis keys{.name = "key", .unit = "token", .means = SceneAxis::Means::kKey, .begin = 0, .end = n};
    keys.ticks = b_.axis({.plot = plot,
                          .high = static_cast<double>(n),
                          .ticks = round_ticks(0, static_cast<double>(n - 1), static_cast<int>(plot.width / 70), true),
                          .grid = false,
                          .cells = true});
    const auto y_of = [&](double value) {
      return plot.bottom() - static_cast<float>((value - low) / (high - low)) * plot.height;
    };
    implied_bars(implied.weights, plot, y_of);
    b_.rule({plot.x, y_of(0)}, {plot.right(), y_of(0)}, Paint::of(ColourRole::kMuted));
    Series series{.name = "implied row", .probe = "state.row", .unit = "", .x_name = "key"};
    for (int64_t key = 0; key < n; ++key) {
      series.x.push_back(static_cast<double>(key));
      series.y.push_back(static_cast<double>(implied.weights[static_cast<size_t>(key)]));
    }
    b_.scene.series.push_back(std::move(series));
    const int axis = b_.scene.add_axis(std::move(keys));
    b_.scene.regions.push_back({.rect = plot, .rows = 1, .cols = static_cast<int>(n), .col_axis = axis});
    b_.provenance(provenance_of(history_, implied.row, now_.layer, now_.head));
  }

  // One bar a key, or the greatest and the least of the keys that share a pixel.
  template <typename Y>
  void implied_bars(const std::vector<float>& weights, const Rect& plot, const Y& y_of) {
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
      const auto begin = weights.begin() + i * n / n_bars;
      const auto end = weights.begin() + std::max((i + 1) * n / n_bars, i * n / n_bars + 1);
      const auto [least, most] = std::minmax_element(begin, end);
      if (*most > 0) bar(i, *most, Paint::of(ColourRole::kSeries1));
      if (*least < 0) bar(i, *least, Paint::of(ColourRole::kSeries3));
    }
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
};

class StateView final : public View {
 public:
  std::string_view name() const override { return "state"; }
  std::string_view title() const override { return "Recurrent state"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (!state_layers(info.config).empty()) return std::nullopt;
    return "This model has no layers with a recurrent state.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    std::vector<Wanted> wanted;
    for (const HeadLook& look : kLooks) wanted.push_back({find_probe(look.quantity.probe), steps.begin, steps.end});
    wanted.push_back({find_probe("state.row"), step, step + 1});
    return wanted;
  }
  Scene scene(const SceneInput& input) const override { return StatePicture(input).draw(); }
};

}  // namespace

const View& state_view() {
  static const StateView kView;
  return kView;
}

}  // namespace orrery
