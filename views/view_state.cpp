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

bool is_in_loop(const ModelConfig& config, int32_t layer) {
  const int32_t index = config.layers[static_cast<size_t>(layer)].index;
  return config.loop.any() && index >= config.loop.begin && index < config.loop.end;
}

// Layer and iteration agree: a chosen iteration moves the layer to its visit there, else the layer says which it is.
void settle_iteration(const ModelConfig& config, Selection& selection) {
  if (!config.loop.any()) {
    selection.iteration = -1;
    return;
  }
  selection.iteration = std::min(selection.iteration, config.loop.n_iterations - 1);
  if (selection.iteration >= 0) {
    selection.layer = visit_in(config, selection.layer, selection.iteration);
  } else if (is_in_loop(config, selection.layer)) {
    selection.iteration = config.layers[static_cast<size_t>(selection.layer)].iteration;
  }
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

int32_t visit_in(const ModelConfig& config, int32_t layer, int32_t iteration) {
  if (!is_in_loop(config, layer)) return layer;
  const int32_t index = config.layers[static_cast<size_t>(layer)].index;
  return config.loop.begin + iteration * (config.loop.end - config.loop.begin) + index - config.loop.begin;
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
    selection.layer = selection.head = selection.iteration = selection.expert = -1;
    return selection;
  }
  if (selection.layer < 0) selection.layer = first_layer_with(config, MixerKind::kAttention);
  if (selection.layer < 0) selection.layer = first_layer_with(config, MixerKind::kMatrixState);
  if (selection.layer < 0) selection.layer = first_layer_with(config, MixerKind::kFastWeights);
  selection.layer = std::clamp(selection.layer, 0, config.n_layers() - 1);
  settle_iteration(config, selection);
  const LayerConfig& layer = config.layers[static_cast<size_t>(selection.layer)];
  selection.head = clamp_head(selection.head, n_heads_of(layer));
  const int32_t n_experts = layer.feed_forward == FeedForwardKind::kMoe ? layer.moe.router.n_experts : 0;
  if (selection.expert >= n_experts) selection.expert = -1;
  return selection;
}

Selection resolve_for(MixerKind kind, const FrameHistory& history, const ViewState& state) {
  const ModelConfig& config = history.info().config;
  Selection selection = resolve(history, state);
  if (config.layers.empty()) return selection;
  if (state.selected.layer < 0) {
    const int32_t first = first_layer_with(config, kind);
    if (first >= 0) selection.layer = visit_in(config, first, std::max(selection.iteration, 0));
  }
  const LayerConfig& layer = config.layers[static_cast<size_t>(selection.layer)];
  selection.head = clamp_head(state.selected.head, n_heads_of(layer, kind));
  return selection;
}

}  // namespace orrery
