// The what-if of the loop view: a handle along the thresholds of an exit, what the asked one does to the mean depth,
// and "run it".
#pragma once

#include <optional>
#include <string>

#include "views/scene_builder.h"
#include "views/what_if.h"

namespace orrery {

class LoopSlider {
 public:
  // All must outlive this.
  LoopSlider(SceneBuilder& builder, const SceneInput& input)
      : b_(builder), history_(input.history), state_(input.state), loop_(history_.info().config.loop) {}

  float height() const { return 2 * b_.label() + 19; }
  void draw(const Rect& area);

 private:
  float buttons(const Rect& area, const WhatIf& shown);
  float button(float right, float middle, const std::string& name, const Command& command, const std::string& tooltip);
  void track(const Rect& area, const WhatIf& shown);
  std::string sentence() const;
  StepRange steps() const { return visible_range(state_.steps, history_.n_processed()); }

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const LoopConfig& loop_;
};

// What both names of it say where it is drawn: "what-if: exit once the gate's probabilities reach 0.700".
std::string what_if_title(const WhatIf& what);

}  // namespace orrery
