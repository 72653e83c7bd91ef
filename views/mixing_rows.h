// What the mixers of the selected layer read, head by head, as bars by key: a part of the mixing view.
#pragma once

#include <span>
#include <string>

#include "views/key_axis.h"
#include "views/mixing_cells.h"
#include "views/mixing_looks.h"
#include "views/scene_builder.h"

namespace orrery {

class MixingRows {
 public:
  // axis: of the keys, in cells of keys.per_col. signed_scale: of implied weights. All must outlive this.
  MixingRows(SceneBuilder& builder, const FrameHistory& history, const ViewState& state, const Selection& now,
             std::span<const MixingLane> lanes, const KeyAxis& keys, int axis, int signed_scale)
      : b_(builder),
        history_(history),
        state_(state),
        now_(now),
        lanes_(lanes),
        keys_(keys),
        axis_(axis),
        signed_scale_(signed_scale) {}

  // One below the other, as many as fit.
  void draw(const Rect& area);

 private:
  int32_t head_of(const MixingLane& lane) const;
  std::string row_name(const MixingLane& lane) const;
  std::string row_heading(const MixingLane& lane, const LaneRow& row) const;
  void row(const MixingLane& lane, const Rect& plot, Point heading_at);
  template <typename Y>
  void value_bars(const LaneRow& row, const Rect& plot, const Y& y_of, Paint up, Paint down);
  void record(const MixingLane& lane, const LaneRow& row);

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const Selection& now_;
  const std::span<const MixingLane> lanes_;
  const KeyAxis& keys_;
  const int axis_;
  const int signed_scale_;
};

}  // namespace orrery
