// What one head reads of every earlier token at one step, as bars over the keys: a part of the attention view.
#pragma once

#include <string>
#include <string_view>

#include "views/attention_cells.h"
#include "views/key_axis.h"
#include "views/scene_builder.h"

namespace orrery {

class AttentionRowChart {
 public:
  // now: the selection as attention takes it; keys: the axis of the map above. All must outlive this.
  AttentionRowChart(SceneBuilder& builder, const SceneInput& input, const Selection& now, const KeyAxis& keys)
      : b_(builder),
        history_(input.history),
        state_(input.state),
        no_exact_row_(input.no_exact_row),
        now_(now),
        keys_(keys),
        bars_(attention_bars(input.history, now)) {}

  void draw(const Rect& area);

 private:
  std::string heading() const;
  void draw_bars(const Rect& plot, float high);
  bool has_mass_strip() const;
  void mass_strip(const Rect& area);
  void token_labels(const Rect& plot);
  void record(const Rect& plot);

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const std::string_view no_exact_row_;
  const Selection& now_;
  const KeyAxis& keys_;
  const AttentionBars bars_;
};

}  // namespace orrery
