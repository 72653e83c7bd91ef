// What one head reads of every earlier token, as bars over the keys: the implied row of a recurrence, signed, and
// beside it on the same keys the row of an attention head of the same layer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "views/attention_cells.h"
#include "views/scene_builder.h"
#include "views/state_cells.h"

namespace orrery {

class KeyRows {
 public:
  // now: as the state takes it. All must outlive this.
  KeyRows(SceneBuilder& builder, const SceneInput& input, const Selection& now)
      : b_(builder),
        history_(input.history),
        state_(input.state),
        no_row_(input.no_exact_row),
        row_may_come_(input.row_may_come),
        now_(now) {}

  // Whether anything is there to be drawn: the implied row was computed, or is being so, so that its place is kept.
  bool any() const { return now_.head >= 0 && (row_may_come_ || implied().row); }
  // A line at the bottom of the area, where there is something to say; returns what is left of the area.
  Rect say_why_not(const Rect& area);
  // Whether the layer has attention beside the recurrence.
  bool has_attention() const;
  void draw(const Rect& area);

 private:
  struct Chart {
    std::string title = {};
    std::string series = {};
    std::string probe = {};
    std::vector<float> weights = {};  // by key; NaN: not recorded
    bool names_keys = true;           // ticks below
  };

  ImpliedRow implied() const { return implied_row(history_, now_); }
  Selection attention_selection() const;
  void draw_implied(const Rect& area, bool names_keys);
  void draw_missing(const Rect& area);
  void draw_attention(const Rect& area, int64_t n_keys);
  void chart(const Rect& area, const Chart& chart);
  void bars(const std::vector<float>& weights, const Rect& plot, double low, double high);
  void mark_key(const Rect& plot, int64_t n_keys);
  const LayerConfig& layer() const { return history_.info().config.layers[static_cast<size_t>(now_.layer)]; }

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const std::string_view no_row_;
  const bool row_may_come_;
  const Selection& now_;
};

}  // namespace orrery
