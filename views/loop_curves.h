// The selected token of the loop view, iteration by iteration: how far each moves it, the probabilities of stopping
// with their sum and the threshold, and what the model would say there.
#pragma once

#include <optional>
#include <string>

#include "views/loop_cells.h"
#include "views/scene_builder.h"

namespace orrery {

class LoopCurves {
 public:
  // All must outlive this.
  LoopCurves(SceneBuilder& builder, const SceneInput& input, const Selection& now)
      : b_(builder),
        history_(input.history),
        state_(input.state),
        texts_(input.texts),
        now_(now),
        loop_(history_.info().config.loop) {}

  // One below the other; where they do not fit, what the maps do not have.
  void draw(const Rect& area);
  float least_height() const;  // of one chart

 private:
  struct Chart {
    const char* probe = "";
    std::string title = {};
    std::optional<double> high = {};  // none: the greatest value
    bool is_exit = false;
  };

  void bars(const Rect& area, const Chart& chart);
  void bar_boxes(const LoopTrace& trace, const Rect& plot, double high, const Chart& chart);
  void sum_of_exits(const LoopTrace& trace, const Rect& plot);
  void threshold(const Rect& plot, double high, double value, const std::string& name, Paint paint);
  void thresholds(const Rect& plot, double high, const Chart& chart);
  float lens_height() const;
  void lens(const Rect& area, const LoopLens& lens);
  void lens_row(const Rect& row, const LoopLens& lens, size_t iteration, int scale);
  std::string token_name(int32_t id) const;

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const TokenTexts* texts_;
  const Selection& now_;
  const LoopConfig& loop_;
};

}  // namespace orrery
