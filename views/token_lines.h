// Lines of the run's text around the selected token, each token tinted by one number: what a view shows of its numbers
// on the text itself.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "views/scene_builder.h"
#include "views/text_layout.h"

namespace orrery {

struct TokenTint {
  std::string title = {};
  Paint title_paint = Paint::of(ColourRole::kForeground);
  int scale = 0;                                                   // into Scene::scales
  std::string (*format)(double) = format_value;                    // of the scale's ends
  Series series = {};                                              // name, probe, unit; gets the visible tokens
  std::function<std::vector<float>(StepRange steps)> values = {};  // one a step; NaN: missing
};

class TokenLines {
 public:
  // now: the selection as the view takes it. All must outlive this.
  TokenLines(SceneBuilder& builder, const SceneInput& input, const Selection& now)
      : b_(builder), history_(input.history), state_(input.state), metrics_(input.metrics), now_(now) {}

  // As many lines as fit, under a title with the scale; returns the height that they take, 0 where not even one fits.
  float draw(const Rect& area, const TokenTint& tint);

 private:
  void line(const TextLine& line, const Rect& place, int series);

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const TextMetrics& metrics_;
  const Selection& now_;
  int scale_ = 0;
  int64_t first_step_ = 0;  // of values_
  std::vector<float> values_;
};

}  // namespace orrery
