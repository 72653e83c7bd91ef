// Loop: how often each token goes through the repeated layers (its text and a lane of tokens, tinted), how far every
// iteration moves it and in which direction (iterations x tokens), and for the selected token its steps, what would be
// said there and, where the model has a gate, the probabilities of stopping. A what-if recomputes the depths of all
// tokens for another exit, from what is recorded.
#include <algorithm>

#include "probes/model_axes.h"
#include "views/loop_cells.h"
#include "views/loop_curves.h"
#include "views/loop_maps.h"
#include "views/loop_slider.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/text_layout.h"
#include "views/token_lines.h"
#include "views/views.h"
#include "views/what_if.h"

namespace orrery {
namespace {

constexpr float kLeastTwoColumns = 600;   // of the body's width, for the token's curves to stand beside the maps
constexpr float kLeastCurvesBelow = 420;  // else of its height, for them to stand below
constexpr float kLeastTextArea = 270;     // of the body's height, for the text to stand above
constexpr float kLeastSlider = 150;       // of the body's height, for the what-if's handle
constexpr float kGap = 18;

std::string rule_text(const LoopConfig& loop) {
  switch (loop.rule) {
    case ExitRule::kFixed:
      return "no early exit";
    case ExitRule::kGate:
    case ExitRule::kStep:
      return what_if_text({loop.rule, loop.threshold});
    case ExitRule::kDivergence:
      return "exit at divergences below " + format_value(static_cast<double>(loop.threshold)) + " nats";
  }
  return "";
}

class LoopPicture {
 public:
  explicit LoopPicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        state_(input.state),
        b_(input, "loop", "Loop"),
        now_(b_.scene.selection),
        loop_(history_.info().config.loop) {}

  Scene draw() {
    if (b_.says_why_empty(loop_view(), history_)) return b_.finish();
    subtitle();
    const int scale = b_.scene.add_scale(
        {.map = ColourMapId::kTint, .low = 0, .high = static_cast<float>(std::max(loop_.n_iterations, 1))});
    Rect area = b_.body;
    if (area.height >= kLeastSlider) {
      LoopSlider slider(b_, input_);
      slider.draw({area.x, area.y, area.width, slider.height()});
      area = area.inset(0, slider.height() + 4, 0, 0);
    }
    if (b_.body.height >= kLeastTextArea) {
      const float height = std::clamp(area.height * 0.22f, 50.0f, 160.0f);
      area = area.inset(0, text({area.x, area.y, area.width, height}, scale) + 8, 0, 0);
    }
    LoopCurves curves(b_, input_, now_);
    if (area.width >= kLeastTwoColumns && area.height >= curves.least_height()) {
      const float width = std::clamp(area.width * 0.34f, 200.0f, 460.0f);
      curves.draw({area.right() - width, area.y, width, area.height});
      area = area.inset(0, 0, width + kGap, 0);
    } else if (area.height >= kLeastCurvesBelow) {
      const float height = area.height * 0.42f;
      curves.draw({area.x, area.bottom() - height, area.width, height});
      area = area.inset(0, 0, 0, height + 8);
    }
    LoopMaps(b_, input_, now_, scale).draw(area);
    if (state_.what_if) {
      b_.note(what_if_title(*state_.what_if) +
              "; computed from the recorded run, whose tokens stay as they are: a run with that exit may say others.");
    }
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = loop_.end - loop_.begin == 1
                           ? "layer " + std::to_string(loop_.begin)
                           : "layers " + std::to_string(loop_.begin) + "–" + std::to_string(loop_.end - 1);
    text += " up to " + std::to_string(loop_.n_iterations) + (loop_.n_iterations == 1 ? " time · " : " times · ");
    text += rule_text(loop_) + " · " + step_text(history_, now_.step);
    const LoopTrace depth = loop_trace(history_, *find_probe("loop.depth"), now_.step);
    text += depth.values.empty() ? ": not recorded"
                                 : ": " + std::to_string(static_cast<int>(depth.values[0])) + " of " +
                                       std::to_string(loop_.n_iterations);
    b_.subtitle(text);
  }

  // The text around the selected token, tinted by depth; returns the height that it takes.
  float text(const Rect& area, int scale) {
    TokenTint tint{.title = "iterations of each token", .scale = scale};
    tint.series = {.name = "depth", .probe = "loop.depth", .unit = "iterations"};
    if (state_.what_if) {
      tint.title += ", " + what_if_title(*state_.what_if);
      tint.title_paint = Paint::of(ColourRole::kAccent);
      tint.series.name = "depth of the what-if";
      tint.series.probe = what_if_probe(state_.what_if->rule);
      tint.values = [this](StepRange seen) { return depths_if(history_, *state_.what_if, seen.begin, seen.end); };
    } else {
      tint.values = [this](StepRange seen) {
        return loop_map(history_, *find_probe("loop.depth"), seen, static_cast<int>(seen.size())).values;
      };
    }
    return TokenLines(b_, input_, now_).draw(area, tint);
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const LoopConfig& loop_;
};

class LoopView final : public View {
 public:
  std::string_view name() const override { return "loop"; }
  std::string_view title() const override { return "Loop"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (has_loop(info.config)) return std::nullopt;
    return "This model has no loop: every token goes through each layer once.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    if (history.n_steps() == 0) return {};
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::clamp<int64_t>(resolve(history, state).step, 0, history.n_steps() - 1);
    const auto [begin, end] = layout_window(history.tokens(), step);
    std::vector<Wanted> wanted{{find_probe("loop.depth"), begin, end},
                               {find_probe("loop.step"), step, step + 1},
                               {find_probe("lens.top"), step, step + 1}};
    if (state.what_if && can_ask(history.info().config.loop, state.what_if->rule)) {
      wanted.push_back({find_probe(what_if_probe(state.what_if->rule)), begin, end});
    }
    for (const char* name : {"loop.depth", "loop.step", "loop.cosine"}) {
      wanted.push_back({find_probe(name), steps.begin, steps.end});
    }
    if (has_loop_gate(history.info().config)) {
      wanted.push_back({find_probe("loop.exit"), step, step + 1});
      wanted.push_back({find_probe("loop.exit"), steps.begin, steps.end});
    }
    return wanted;
  }
  Scene scene(const SceneInput& input) const override { return LoopPicture(input).draw(); }
};

}  // namespace

const View& loop_view() {
  static const LoopView kView;
  return kView;
}

}  // namespace orrery
