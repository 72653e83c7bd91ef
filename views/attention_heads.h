// Layers x heads at one step, as numbers in colours: a part of the attention view.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "views/attention_cells.h"
#include "views/scene_builder.h"

namespace orrery {

class AttentionHeads {
 public:
  // now: the selection as attention takes it. All must outlive this.
  AttentionHeads(SceneBuilder& builder, const SceneInput& input, const Selection& now);

  // At the left of the area; returns the width it took, 0 where there is no room, or no head.
  float draw(const Rect& area);
  // What was drawn comes from there; empty where it is not held.
  const FrameRow& row() const { return cells_.row; }

 private:
  void numbers(const Rect& plot, int scale);
  std::string number_within(float width, double value) const;
  void mark_head(const Rect& plot, int32_t layer, int32_t head, Paint paint);
  void mark_pin(const Rect& plot, const PinnedHead& pinned);
  // Of a layer's head; nullopt where the picture has none.
  std::optional<Rect> cell(const Rect& plot, int32_t layer, int32_t head) const;

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const Selection& now_;
  const HeadScalar& scalar_;
  const HeadCells cells_;
};

}  // namespace orrery
