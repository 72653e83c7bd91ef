#include "views/command.h"

#include <algorithm>

#include "views/what_if.h"

namespace orrery {
namespace {

constexpr size_t kRemembered = 200;
constexpr const char* kExpertScalar = "moe.expert";  // a chosen expert colours the text

void remember(ViewState& state) {
  state.back.push_back(state.selected);
  if (state.back.size() > kRemembered) state.back.erase(state.back.begin());
  state.forward.clear();
}

void go(ViewState& state, std::vector<Selection>& from, std::vector<Selection>& to) {
  if (from.empty()) return;
  to.push_back(state.selected);
  state.selected = from.back();
  from.pop_back();
  state.follow = state.selected.step < 0;
  state.text_top.reset();
}

struct Apply {
  ViewState& state;

  void operator()(const Select& command) const {
    Selection next = state.selected;
    if (command.step) next.step = std::max<int64_t>(*command.step, 0);
    if (command.layer) {
      next.layer = std::max(*command.layer, 0);
      next.iteration = -1;
    }
    if (command.iteration) next.iteration = std::max(*command.iteration, 0);
    if (command.expert) next.expert = std::max(*command.expert, 0);
    if (command.head) next.head = std::max(*command.head, 0);
    if (command.key) next.key = std::max<int64_t>(*command.key, 0);
    if (command.token) next.token = std::max(*command.token, 0);
    if (command.expert) state.token_scalar = kExpertScalar;
    const bool ends_following = command.step.has_value() && state.follow;
    if (next == state.selected && !ends_following) return;
    remember(state);
    state.selected = next;
    if (!command.step) return;
    state.follow = false;
    state.text_top = command.text_top;
  }
  void operator()(const Hover& command) const { state.hovered = command.target; }
  void operator()(const ClearSelection&) const {
    if (state.selected.key >= 0 || state.selected.token >= 0 || state.selected.expert >= 0) remember(state);
    state.selected.key = -1;
    state.selected.token = -1;
    if (state.selected.expert >= 0 && state.token_scalar == kExpertScalar) {
      state.token_scalar = ViewState{}.token_scalar;
    }
    state.selected.expert = -1;
    state.what_if.reset();
    state.hovered = {};
    state.steps = {};
    state.keys = {};
    state.text_top.reset();
  }
  void operator()(const Follow& command) const {
    state.follow = command.on;
    if (!command.on) return;
    state.selected.step = -1;
    state.text_top.reset();
  }
  void operator()(const ZoomSteps& command) const { state.steps = command.range; }
  void operator()(const ZoomKeys& command) const { state.keys = command.range; }
  void operator()(const RestoreView& command) const {
    if (command.state == nullptr) return;
    remember(state);
    ViewState next = *command.state;
    next.theme = state.theme;
    next.pins = std::move(state.pins);  // what is measured is no matter of looking
    next.hovered = {};
    next.back = std::move(state.back);
    next.forward = std::move(state.forward);
    state = std::move(next);
  }
  void operator()(const ScrollText& command) const { state.text_top = command.top; }
  void operator()(const ChooseTokenScalar& command) const { state.token_scalar = command.name; }
  void operator()(const ChooseHeadScalar& command) const { state.head_scalar = command.name; }
  void operator()(const AskWhatIf& command) const { state.what_if = command.what; }
  void operator()(const RunWhatIf&) const {}
  void operator()(const ChooseTheme& command) const { state.theme = command.kind; }
  void operator()(const PinHead& command) const {
    const PinnedHead pinned{command.layer, command.head};
    std::erase(state.pins, pinned);
    if (command.on) state.pins.insert(std::ranges::lower_bound(state.pins, pinned), pinned);
  }
  void operator()(const Back&) const { go(state, state.back, state.forward); }
  void operator()(const Forward&) const { go(state, state.forward, state.back); }
};

}  // namespace

void apply(ViewState& state, Command command) { std::visit(Apply{state}, command); }

Command move_step(const FrameHistory& history, const ViewState& state, int64_t by) {
  const int64_t last = std::max(history.n_steps(), history.n_processed()) - 1;
  return Select{.step = std::clamp<int64_t>(resolve(history, state).step + by, 0, std::max<int64_t>(last, 0))};
}

Command move_layer(const FrameHistory& history, const ViewState& state, int by) {
  const int32_t last = history.info().config.n_layers() - 1;
  return Select{.layer = std::clamp(resolve(history, state).layer + by, 0, std::max(last, 0))};
}

Command move_head(const FrameHistory& history, const ViewState& state, int by) {
  const Selection now = resolve(history, state);
  if (now.head < 0) return Select{};
  const LayerConfig& layer = history.info().config.layers[static_cast<size_t>(now.layer)];
  return Select{.head = std::clamp(now.head + by, 0, std::max(n_heads_of(layer) - 1, 0))};
}

Command move_iteration(const FrameHistory& history, const ViewState& state, int by) {
  const LoopConfig& loop = history.info().config.loop;
  if (!loop.any()) return Select{};
  const int32_t now = resolve(history, state).iteration;
  return Select{.iteration = std::clamp(now + by, 0, loop.n_iterations - 1)};
}

Command move_what_if(const FrameHistory& history, const ViewState& state, int by) {
  const std::optional<WhatIf> now = state.what_if ? state.what_if : first_what_if(history.info().config.loop);
  if (!now) return AskWhatIf{};
  return AskWhatIf{moved(*now, greatest_threshold(history, now->rule), 5 * by)};
}

std::optional<Command> toggle_pin(const FrameHistory& history, const ViewState& state) {
  const Selection now = resolve_for(MixerKind::kAttention, history, state);
  if (now.layer < 0 || now.head < 0) return std::nullopt;
  const bool is_pinned = std::ranges::binary_search(state.pins, PinnedHead{now.layer, now.head});
  return PinHead{.layer = now.layer, .head = now.head, .on = !is_pinned};
}

}  // namespace orrery
