#include "views/loop_slider.h"

#include <algorithm>
#include <cmath>

namespace orrery {
namespace {

constexpr float kTrack = 4;
constexpr float kHandleWidth = 7;
constexpr float kHandleHeight = 14;
constexpr int kNotch = 2;  // hundredths of the range, per notch of the wheel

WhatIf other_rule(const FrameHistory& history, ExitRule rule) {
  const ExitRule other = rule == ExitRule::kGate ? ExitRule::kStep : ExitRule::kGate;
  const LoopConfig& loop = history.info().config.loop;
  if (loop.rule == other) return {other, loop.threshold};
  return what_if_at(other, greatest_threshold(history, other), 0.5f);
}

}  // namespace

std::string what_if_title(const WhatIf& what) { return "what-if: " + what_if_text(what); }

void LoopSlider::draw(const Rect& area) {
  const std::optional<WhatIf> shown = state_.what_if ? state_.what_if : first_what_if(loop_);
  if (!shown || !can_ask(loop_, shown->rule) || area.width < 140 || area.height < height()) return;
  const float used = buttons(area, *shown);
  b_.label({area.x, area.y + b_.label() / 2}, sentence(), area.width - used - 8, Align::kLeft,
           Paint::of(state_.what_if ? ColourRole::kAccent : ColourRole::kMuted));
  track(area.inset(0, b_.label() + 2, 0, 0), *shown);
}

// "what-if 0.7 of the gate: mean depth 1.8 instead of 2.4, 212 tokens"
std::string LoopSlider::sentence() const {
  if (!state_.what_if) return "what-if: drag to ask for another exit";
  const StepRange range = steps();
  const MeanDepths means = mean_depths(history_, *state_.what_if, range.begin, range.end);
  std::string text = "what-if " + format_value(static_cast<double>(state_.what_if->threshold)) + ": ";
  if (means.n_tokens == 0) return text + "not known of any token here";
  text += "mean depth " + format_value(means.asked) + " instead of " + format_value(means.recorded) + ", " +
          std::to_string(means.n_tokens) + (means.n_tokens == 1 ? " token" : " tokens");
  if (means.n_unknown > 0) text += "; " + std::to_string(means.n_unknown) + " not known";
  return text;
}

float LoopSlider::button(float right, float middle, const std::string& name, const Command& command,
                         const std::string& tooltip) {
  const float width = b_.width(name, TextSize::kLabel) + 12;
  const Rect rect{right - width, middle - b_.label() / 2 - 1, width, b_.label() + 2};
  b_.box(rect, Paint::none(), Paint::of(ColourRole::kAccent, 0.7f), 1, 3);
  b_.label({rect.centre().x, middle}, name, width, Align::kCentre, Paint::of(ColourRole::kAccent));
  b_.scene.regions.push_back({.rect = rect, .click = command, .tooltip = tooltip});
  return width + 6;
}

float LoopSlider::buttons(const Rect& area, const WhatIf& shown) {
  const float middle = area.y + b_.label() / 2 + 1;
  float used = 0;
  if (area.width < 260) return used;
  if (state_.what_if) {
    used += button(area.right(), middle, "off", AskWhatIf{}, "depths as they were recorded");
    used += button(area.right() - used, middle, "run it", RunWhatIf{shown},
                   "a new run: the same prompt and settings, " + what_if_text(shown));
  }
  if (loop_.has_gate) {
    const WhatIf other = other_rule(history_, shown.rule);
    used += button(area.right() - used, middle, other.rule == ExitRule::kStep ? "by change" : "by gate",
                   AskWhatIf{other}, what_if_text(other));
  }
  return used;
}

void LoopSlider::track(const Rect& area, const WhatIf& shown) {
  const float greatest = greatest_threshold(history_, shown.rule);
  const std::string low_text = "0";
  const std::string high_text = format_tick(static_cast<double>(greatest));
  const float left = b_.width(low_text, TextSize::kLabel) + 8, right = b_.width(high_text, TextSize::kLabel) + 8;
  const Rect plot = area.inset(left, 0, right, 0);
  if (plot.width < 40) return;
  const float y = area.y + kHandleHeight / 2 + 1;
  b_.label({area.x, y}, low_text, left, Align::kLeft, Paint::of(ColourRole::kMuted), TextRole::kTick);
  b_.label({area.right(), y}, high_text, right, Align::kRight, Paint::of(ColourRole::kMuted), TextRole::kTick);
  b_.box({plot.x, y - kTrack / 2, plot.width, kTrack}, Paint::of(ColourRole::kGrid));
  const auto x_of = [&](float threshold) { return plot.x + std::clamp(threshold / greatest, 0.0f, 1.0f) * plot.width; };
  if (loop_.rule == shown.rule) {
    const float x = x_of(loop_.threshold);
    b_.box({x - 1, y - kHandleHeight / 2, 2, kHandleHeight}, Paint::of(ColourRole::kForeground));
    const std::string own = "the run's " + format_tick(static_cast<double>(loop_.threshold));
    const float half = b_.width(own, TextSize::kLabel) / 2;
    if (2 * half <= plot.width) {
      b_.label({std::clamp(x, plot.x + half, plot.right() - half), y + kHandleHeight / 2 + b_.label() / 2}, own,
               2 * half + 1, Align::kCentre, Paint::of(ColourRole::kMuted), TextRole::kTick);
    }
  }
  if (state_.what_if) {
    const float x = x_of(shown.threshold);
    b_.box({x - kHandleWidth / 2, y - kHandleHeight / 2, kHandleWidth, kHandleHeight}, Paint::of(ColourRole::kAccent),
           Paint::of(ColourRole::kPanel), 1, 2);
  }
  HitRegion region{.rect = {plot.x, area.y, plot.width, kHandleHeight + b_.label() + 2},
                   .tooltip = "exit of the what-if: " + std::string(what_if_probe(shown.rule)),
                   .scrub = true};
  region.slide = HitRegion::Slide{shown.rule, greatest};
  region.wheel_up = AskWhatIf{moved(shown, greatest, kNotch)};
  region.wheel_down = AskWhatIf{moved(shown, greatest, -kNotch)};
  b_.scene.regions.push_back(std::move(region));
}

}  // namespace orrery
