// Fast weights: what a layer of test-time training learns; the inner loss on every token before and after its step, how
// far the step goes and how far the weights have drifted. Layers x tokens, beside them the heads of one layer x tokens.
#include <array>
#include <string>

#include "probes/model_axes.h"
#include "views/frame_rows.h"
#include "views/head_maps.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr HeadQuantity quantity(std::string_view probe, Together together) {
  return {.probe = probe, .kind = MixerKind::kFastWeights, .together = together, .from_zero = true};
}

// The two losses have one scale, so that learning is seen as the second map being darker or paler than the first.
constexpr int kLossScale = 0;
const std::array<HeadLook, 5> kLooks{{
    {quantity("fast.loss_before", Together::kMean), "loss before the step", Transfer::kSquareRoot, kLossScale},
    {quantity("fast.loss_after", Together::kMean), "loss after the step", Transfer::kSquareRoot, kLossScale},
    {quantity("fast.update", Together::kRootOfSquares), "change of the weights", Transfer::kSquareRoot},
    {quantity("fast.drift", Together::kRootOfSquares), "drift of the weights", Transfer::kLinear},
    {quantity("fast.rate", Together::kMean), "inner step size", Transfer::kSquareRoot},
}};

constexpr int64_t kFewestUpdates = 2;

class FastPicture {
 public:
  explicit FastPicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        b_(input, "fast", "Fast weights"),
        now_(resolve_for(MixerKind::kFastWeights, input.history, input.state)) {
    b_.scene.selection = now_;
  }

  Scene draw() {
    if (b_.says_why_empty(fast_view(), history_)) return b_.finish();
    subtitle();
    if (n_updates() < kFewestUpdates) {
      b_.message("Fewer than two updates of the fast weights are recorded: nothing to compare yet.");
      return b_.finish();
    }
    HeadMaps(b_, input_, now_, kLooks).draw(b_.body);
    return b_.finish();
  }

 private:
  // Every token is one; of those that are held and shown.
  int64_t n_updates() const {
    const StepRange steps = visible_range(input_.state.steps, history_.n_processed());
    int64_t n = 0;
    for_each_row(history_, *find_probe("fast.update"), steps.begin, steps.end, [&](const FrameRow&) { ++n; });
    return n;
  }

  void subtitle() {
    std::string text = layer_name(history_.info(), now_.layer);
    if (now_.head >= 0) {
      const FastWeightsConfig& fast = history_.info().config.layers[static_cast<size_t>(now_.layer)].fast;
      text += ", mini-batches of " + std::to_string(fast.batch_size) + " · head " + std::to_string(now_.head);
    }
    text += " · " + step_text(history_, now_.step);
    b_.subtitle(text);
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  SceneBuilder b_;
  const Selection now_;
};

class FastView final : public View {
 public:
  std::string_view name() const override { return "fast"; }
  std::string_view title() const override { return "Fast weights"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (!fast_layers(info.config).empty()) return std::nullopt;
    return "This model has no layers with fast weights.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    return HeadMaps::wanted(history, state, kLooks);
  }
  Scene scene(const SceneInput& input) const override { return FastPicture(input).draw(); }
};

}  // namespace

const View& fast_view() {
  static const FastView kView;
  return kView;
}

}  // namespace orrery
