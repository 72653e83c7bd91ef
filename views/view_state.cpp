#include "views/view_state.h"

#include <algorithm>

namespace orrery {

Selection resolve(const FrameHistory& history, const ViewState& state) {
  const ModelConfig& config = history.info().config;
  Selection selection = state.selected;
  // A token that was sampled but not fed back can be looked at, but nothing is measured there yet.
  const int64_t newest = history.n_processed() > 0 ? std::min(history.n_processed(), history.n_steps()) - 1 : -1;
  const int64_t last = std::max(history.n_steps(), history.n_processed()) - 1;
  if (state.follow || selection.step < 0) selection.step = newest >= 0 ? newest : last;
  selection.step = std::min(selection.step, last);
  if (selection.key >= last + 1) selection.key = -1;

  if (config.layers.empty()) {
    selection.layer = -1;
    selection.head = -1;
    return selection;
  }
  if (selection.layer < 0) {
    selection.layer = 0;
    for (int32_t i = 0; i < config.n_layers(); ++i) {
      if (!config.layers[static_cast<size_t>(i)].has(MixerKind::kAttention)) continue;
      selection.layer = i;
      break;
    }
  }
  selection.layer = std::min(selection.layer, config.n_layers() - 1);
  const LayerConfig& layer = config.layers[static_cast<size_t>(selection.layer)];
  if (!layer.has(MixerKind::kAttention)) {
    selection.head = -1;
  } else {
    selection.head = std::clamp(selection.head, 0, std::max(layer.attention.n_heads - 1, 0));
  }
  return selection;
}

}  // namespace orrery
