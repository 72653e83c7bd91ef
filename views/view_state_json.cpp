#include "views/view_state_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "views/token_scalars.h"

namespace orrery {
namespace {

using nlohmann::json;

constexpr int64_t kMostSteps = int64_t{1} << 40;

int64_t whole(const json& object, const char* key, int64_t fallback, int64_t most) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return fallback;
  return std::clamp<int64_t>(found->get<int64_t>(), -1, most);
}

StepRange range(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() != 2) return {};
  if (!(*found)[0].is_number_integer() || !(*found)[1].is_number_integer()) return {};
  return {std::clamp<int64_t>((*found)[0].get<int64_t>(), 0, kMostSteps),
          std::clamp<int64_t>((*found)[1].get<int64_t>(), 0, kMostSteps)};
}

std::string name(const json& object, const char* key, const std::string& fallback) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : fallback;
}

std::optional<WhatIf> what_if(const json& object) {
  const auto found = object.find("what_if");
  if (found == object.end() || !found->is_object()) return std::nullopt;
  const auto threshold = found->find("threshold");
  if (threshold == found->end() || !threshold->is_number()) return std::nullopt;
  const auto value = threshold->get<float>();
  if (!std::isfinite(value)) return std::nullopt;
  return WhatIf{name(*found, "rule", "gate") == "step" ? ExitRule::kStep : ExitRule::kGate, value};
}

}  // namespace

std::string view_state_to_json(const FrameHistory& history, const ViewState& state) {
  json object{{"step", resolve(history, state).step}, {"layer", state.selected.layer},
              {"head", state.selected.head},          {"key", state.selected.key},
              {"token", state.selected.token},        {"iteration", state.selected.iteration},
              {"expert", state.selected.expert},      {"token_scalar", state.token_scalar},
              {"head_scalar", state.head_scalar}};
  if (!state.steps.all()) object["steps"] = {state.steps.begin, state.steps.end};
  if (!state.keys.all()) object["keys"] = {state.keys.begin, state.keys.end};
  if (state.what_if) {
    object["what_if"] = {{"rule", state.what_if->rule == ExitRule::kStep ? "step" : "gate"},
                         {"threshold", state.what_if->threshold}};
  }
  if (state.text_top) object["text_top"] = *state.text_top;
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::shared_ptr<const ViewState> view_state_from_json(std::string_view text, int64_t step) {
  auto state = std::make_shared<ViewState>();
  state->follow = false;
  state->selected.step = std::max<int64_t>(step, 0);
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return state;
  constexpr int64_t kMost32 = std::numeric_limits<int32_t>::max();
  state->selected.step = std::max<int64_t>(whole(object, "step", state->selected.step, kMostSteps), 0);
  state->selected.layer = static_cast<int32_t>(whole(object, "layer", -1, kMost32));
  state->selected.head = static_cast<int32_t>(whole(object, "head", -1, kMost32));
  state->selected.key = whole(object, "key", -1, kMostSteps);
  state->selected.token = static_cast<int32_t>(whole(object, "token", -1, kMost32));
  state->selected.iteration = static_cast<int32_t>(whole(object, "iteration", -1, kMost32));
  state->selected.expert = static_cast<int32_t>(whole(object, "expert", -1, kMost32));
  state->what_if = what_if(object);
  state->steps = range(object, "steps");
  state->keys = range(object, "keys");
  const int64_t top = whole(object, "text_top", -1, kMostSteps);
  if (top >= 0) state->text_top = top;
  // Names of scalars that this build does not know fall back to the first.
  state->token_scalar = find_token_scalar(name(object, "token_scalar", state->token_scalar)).name;
  state->head_scalar = find_head_scalar(name(object, "head_scalar", state->head_scalar)).name;
  return state;
}

}  // namespace orrery
