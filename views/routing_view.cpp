// Routing: where each layer's router sends the selected token, and how the tokens up to it were shared out; what
// changes from token to token; which experts go together; the experts of one layer against what equal shares would be,
// and the tokens that one of them got.
#include <algorithm>
#include <cmath>

#include "probes/model_axes.h"
#include "views/routing_cells.h"
#include "views/routing_layer.h"
#include "views/routing_maps.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/text_layout.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastBarsHeight = 250;    // of the body, for one layer's shares to stand below
constexpr float kLeastChangeHeight = 500;  // of the body, for changes and pairs to stand between
constexpr float kLeastTwoColumns = 560;    // of the body's width, for what stands below to stand side by side
constexpr float kLeastHint = 1000;         // where no expert is chosen, for a sentence on choosing one
constexpr float kGap = 18;

class RoutingPicture {
 public:
  explicit RoutingPicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        state_(input.state),
        b_(input, "routing", "Routing"),
        n_(history_.n_processed()) {
    const std::vector<int32_t> layers = moe_layers(history_.info().config);
    Selection& selection = b_.scene.selection;
    if (state_.selected.layer < 0 && !layers.empty() && !std::ranges::binary_search(layers, selection.layer)) {
      selection.layer = layers.front();
      const int32_t n = history_.info().config.layers[static_cast<size_t>(layers.front())].moe.router.n_experts;
      selection.expert = state_.selected.expert < n ? state_.selected.expert : -1;
    }
    now_ = selection;
  }

  Scene draw() {
    if (b_.says_why_empty(routing_view(), history_)) return b_.finish();
    cells_ = routing_cells(history_, visible_range(state_.steps, n_), now_.step);
    if (cells_.layers.empty() || cells_.n_columns == 0) {
      b_.message("This model has more experts than a picture can hold.");
      return b_.finish();
    }
    RoutingMaps maps(b_, input_, now_, cells_);
    subtitle(maps);
    RoutingLayer layer(b_, input_, now_, cells_);
    Rect area = b_.body;
    if (area.height >= kLeastBarsHeight) area = below(area, maps, layer);
    maps.experts(area);
    record_uniform(maps);
    provenance();
    return b_.finish();
  }

 private:
  // How many tokens are counted and what equal shares would be come first: they are always to be read.
  void subtitle(const RoutingMaps& maps) {
    std::string text = std::to_string(cells_.n_tokens) + (cells_.n_tokens == 1 ? " token" : " tokens") + " counted, " +
                       maps.uniform_text() + " · " + step_text(history_, now_.step);
    b_.subtitle(text);
  }

  // What stands below the maps of layers × experts, which take what their rows need; returns what is left for them.
  Rect below(const Rect& area, RoutingMaps& maps, RoutingLayer& layer) {
    const float wanted = area.height - maps.experts_height(area.width) - 8;
    if (area.height < kLeastChangeHeight) {
      const float height = std::max(std::clamp(area.height * 0.36f, 100.0f, 260.0f), wanted);
      one_layer({area.x, area.bottom() - height, area.width, height}, layer);
      return area.inset(0, 0, 0, height + 8);
    }
    const float height = std::max(area.height * 0.6f, wanted);
    const Rect lower{area.x, area.bottom() - height, area.width, height};
    const float upper_height = (height - 8) * 0.48f;
    const Rect between{lower.x, lower.y, lower.width, upper_height};
    if (area.width >= kLeastTwoColumns) {
      const float width = std::min(upper_height + 20, (area.width - kGap) * 0.4f);
      maps.together({between.right() - width, between.y, width, between.height});
      maps.change(between.inset(0, 0, width + kGap, 0));
    } else {
      maps.change(between);
    }
    one_layer(lower.inset(0, upper_height + 8, 0, 0), layer);
    return area.inset(0, 0, 0, height + 8);
  }

  // Side by side, or where there is no room for both, of a selected expert its tokens alone.
  void one_layer(const Rect& area, RoutingLayer& layer) {
    const bool has_experts = std::ranges::find(cells_.layers, now_.layer) != cells_.layers.end();
    const bool has_room = area.width >= (now_.expert < 0 ? kLeastHint : kLeastTwoColumns);
    if (!has_experts || (!has_room && now_.expert < 0)) return layer.shares(area);
    if (!has_room) return layer.tokens_of_expert(area);
    const float width = (area.width - kGap) / 2;
    layer.shares({area.x, area.y, width, area.height});
    layer.tokens_of_expert({area.x + width + kGap, area.y, width, area.height});
  }

  void record_uniform(const RoutingMaps& maps) {
    Series series{.name = "equal shares by layer", .probe = "", .unit = "", .x_name = "layer"};
    for (size_t row = 0; row < cells_.layers.size(); ++row) {
      series.x.push_back(cells_.layers[row]);
      series.y.push_back(cells_.uniform(row));
    }
    b_.scene.series.push_back(std::move(series));
    b_.note(maps.counted_text() + "; " + maps.uniform_text() + ".");
  }

  void provenance() {
    if (cells_.weights_row) b_.provenance(provenance_of(history_, cells_.weights_row));
    if (!cells_.chosen_row) return;
    Provenance p = provenance_of(history_, cells_.chosen_row);
    p.step_begin = cells_.counted.begin;
    p.step_end = cells_.counted.end;
    b_.provenance(std::move(p));
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  Selection now_;
  const int64_t n_;
  RoutingCells cells_;
};

class RoutingView final : public View {
 public:
  std::string_view name() const override { return "routing"; }
  std::string_view title() const override { return "Routing"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (!moe_layers(info.config).empty()) return std::nullopt;
    return "This model has no experts to choose among.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    const int64_t end = std::clamp(step + 1, steps.begin, steps.end);
    std::vector<Wanted> wanted{{find_probe("moe.experts"), std::max(steps.begin, end - RoutingCells::kMostSteps), end},
                               {find_probe("moe.experts"), std::max<int64_t>(step - 1, 0), step + 1},
                               {find_probe("moe.weights"), step, step + 1},
                               {find_probe("moe.margin"), step, step + 1},
                               {find_probe("moe.entropy"), step, step + 1},
                               {find_probe("moe.experts"), steps.begin, steps.end}};
    if (state.selected.expert < 0 || history.n_steps() == 0) return wanted;
    const auto [first, last] = layout_window(history.tokens(), std::clamp<int64_t>(step, 0, history.n_steps() - 1));
    for (const char* name : {"moe.experts", "moe.weights"}) wanted.push_back({find_probe(name), first, last});
    wanted.push_back(
        {find_probe("moe.weights"), std::max(steps.begin, steps.end - RoutingCells::kMostSteps), steps.end});
    return wanted;
  }
  Scene scene(const SceneInput& input) const override { return RoutingPicture(input).draw(); }
};

}  // namespace

const View& routing_view() {
  static const RoutingView kView;
  return kView;
}

}  // namespace orrery
