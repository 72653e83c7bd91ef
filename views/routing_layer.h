// One layer of the routing view: the shares of its experts against equal ones, and the tokens that one expert got.
#pragma once

#include <string>
#include <vector>

#include "views/routing_cells.h"
#include "views/scene_builder.h"

namespace orrery {

class RoutingLayer {
 public:
  // cells: of now. All must outlive this.
  RoutingLayer(SceneBuilder& builder, const SceneInput& input, const Selection& now, const RoutingCells& cells);

  void shares(const Rect& area);
  // Of the selected expert: a lane of tokens by the weight that they give it, and the text tinted by it.
  void tokens_of_expert(const Rect& area);

 private:
  std::string chosen_text() const;
  std::string expert_text() const;
  void bars(std::span<const float> shares, const Rect& plot, double high);
  void lane(const Rect& plot, int scale);

  SceneBuilder& b_;
  const SceneInput& input_;
  const FrameHistory& history_;
  const ViewState& state_;
  const Selection& now_;
  const RoutingCells& cells_;
  const size_t row_;  // of the selected layer; cells_.layers.size() where it has no experts
};

}  // namespace orrery
