#include "views/view_state.h"

#include <algorithm>

#include "probes/model_axes.h"

namespace orrery {
namespace {

// The first layer with the kind; -1 where there is none.
int32_t first_layer_with(const ModelConfig& config, MixerKind kind) {
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (config.layers[static_cast<size_t>(i)].has(kind)) return i;
  }
  return -1;
}

int32_t clamp_head(int32_t head, int32_t n_heads) { return n_heads == 0 ? -1 : std::clamp(head, 0, n_heads - 1); }

}  // namespace

int32_t n_heads_of(const LayerConfig& layer, MixerKind kind) {
  switch (kind) {
    case MixerKind::kAttention:
      return std::max(attention_heads_in(layer), 0);
    case MixerKind::kMatrixState:
      return std::max(state_heads_in(layer), 0);
    case MixerKind::kFastWeights:
      return fast_heads_in(layer);
    case MixerKind::kShortConv:
      break;
  }
  return 0;
}

int32_t n_heads_of(const LayerConfig& layer) {
  return std::max({n_heads_of(layer, MixerKind::kAttention), n_heads_of(layer, MixerKind::kMatrixState),
                   n_heads_of(layer, MixerKind::kFastWeights)});
}

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
  if (selection.layer < 0) selection.layer = first_layer_with(config, MixerKind::kAttention);
  if (selection.layer < 0) selection.layer = first_layer_with(config, MixerKind::kMatrixState);
  if (selection.layer < 0) selection.layer = first_layer_with(config, MixerKind::kFastWeights);
  selection.layer = std::clamp(selection.layer, 0, config.n_layers() - 1);
  const LayerConfig& layer = config.layers[static_cast<size_t>(selection.layer)];
  selection.head = clamp_head(selection.head, n_heads_of(layer));
  return selection;
}

Selection resolve_for(MixerKind kind, const FrameHistory& history, const ViewState& state) {
  const ModelConfig& config = history.info().config;
  Selection selection = resolve(history, state);
  if (config.layers.empty()) return selection;
  if (state.selected.layer < 0) {
    const int32_t first = first_layer_with(config, kind);
    if (first >= 0) selection.layer = first;
  }
  const LayerConfig& layer = config.layers[static_cast<size_t>(selection.layer)];
  selection.head = clamp_head(state.selected.head, n_heads_of(layer, kind));
  return selection;
}

}  // namespace orrery
