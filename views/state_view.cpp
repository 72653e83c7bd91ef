// Recurrent state: what it holds, what each token writes and how much of it stays; layers x tokens, beside them the
// heads of one layer x tokens, and where it was computed the implied attention row of the selected head, with a row of
// the layer's attention where it has one beside the recurrence.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/half_life.h"
#include "views/head_maps.h"
#include "views/key_rows.h"
#include "views/scene_builder.h"
#include "views/state_cells.h"
#include "views/step_names.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastRowArea = 260;  // of the body's height, for the implied row to stand below

const std::array<HeadLook, kStateQuantities> kLooks{{
    {head_quantity(StateQuantity::kNorm), "norm of the state", Transfer::kSquareRoot},
    {head_quantity(StateQuantity::kWrite), "write of the token", Transfer::kSquareRoot},
    {head_quantity(StateQuantity::kKeep), "kept by the token", Transfer::kLinear},
    {head_quantity(StateQuantity::kErase), "erased by the token", Transfer::kSquareRoot},
    {.quantity = head_quantity(StateQuantity::kHalfLife),
     .title = "half-life in tokens",
     .transfer = Transfer::kLogarithm,
     .unit = "tokens",
     .infinite = kNeverDecays},
    {head_quantity(StateQuantity::kRead), "read gain, |S q| / |q|", Transfer::kSquareRoot},
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
    KeyRows rows(b_, input_, now_);
    Rect area = b_.body;
    if (!rows.any()) area = rows.say_why_not(area);
    if (rows.any() && area.height >= kLeastRowArea) {
      const float share = rows.has_attention() ? 0.42f : 0.28f;
      const float height = std::clamp(area.height * share, 90.0f, rows.has_attention() ? 360.0f : 220.0f);
      rows.draw({area.x, area.bottom() - height, area.width, height});
      area = area.inset(0, 0, 0, height + 8);
    }
    HeadMaps(b_, input_, now_, kLooks).draw(area);
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = layer_name(history_.info(), now_.layer);
    if (now_.head >= 0) text += " · " + state_head_name(layer(), now_.head);
    text += " · " + step_text(history_, now_.step);
    b_.subtitle(text);
  }

  const LayerConfig& layer() const { return history_.info().config.layers[static_cast<size_t>(now_.layer)]; }

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
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    std::vector<Wanted> wanted = HeadMaps::wanted(history, state, kLooks);
    wanted.push_back({find_probe("state.row"), step, step + 1});
    const Selection now = resolve_for(MixerKind::kMatrixState, history, state);
    if (now.layer < 0 || !history.info().config.layers[static_cast<size_t>(now.layer)].has(MixerKind::kAttention)) {
      return wanted;
    }
    for (const char* name : {"attention.row", "attention.top", "attention.rest"}) {
      wanted.push_back({find_probe(name), step, step + 1});
    }
    return wanted;
  }
  std::optional<WantedRow> wanted_row(const FrameHistory& history, const ViewState& state) const override {
    const Selection now = resolve_for(MixerKind::kMatrixState, history, state);
    if (now.step < 0 || now.layer < 0 || now.head < 0) return std::nullopt;
    return WantedRow{find_probe("state.row"), now.step, now.layer, now.head};
  }
  Scene scene(const SceneInput& input) const override { return StatePicture(input).draw(); }
};

}  // namespace

const View& state_view() {
  static const StateView kView;
  return kView;
}

}  // namespace orrery
