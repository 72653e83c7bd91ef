// The maps of the routing view: layers × experts of the selected token and of all up to it, with how evenly they are
// shared out; layers × tokens of what changes from one to the next; experts × experts that are chosen together.
#pragma once

#include <string>
#include <vector>

#include "views/routing_balance.h"
#include "views/routing_cells.h"
#include "views/scene_builder.h"

namespace orrery {

class RoutingMaps {
 public:
  // cells: of now. All must outlive this.
  RoutingMaps(SceneBuilder& builder, const SceneInput& input, const Selection& now, const RoutingCells& cells);

  // The two maps of layers × experts, side by side or one below the other.
  void experts(const Rect& area);
  float experts_height(float width) const;
  void change(const Rect& area);
  void together(const Rect& area);

  // "layers × experts, steps 0–211: share of 212 tokens sent to each"
  std::string counted_text() const;
  // "equal shares: 12.5 %"; a range where layers differ.
  std::string uniform_text() const;

 private:
  struct Drawn {
    std::string text = {};
    const char* probe = "";
    const char* tile = "";
    std::string scale_name = {};
    bool is_share = false;
  };

  void now_map(const Rect& area, float gutter, const std::string& text);
  void counted_map(const Rect& area, float gutter, const std::string& text);
  Rect map(const Rect& area, float gutter, const std::vector<float>& values, const Drawn& drawn);
  void tile(const Rect& plot, float gutter, const std::vector<float>& values, const Drawn& drawn, int scale);
  SceneAxis layer_axis(const Rect& plot, float gutter);  // gutter 0: without names
  void mark_layer(const Rect& plot);
  void mark_expert(const Rect& plot, int64_t n_columns);
  void balance(const Rect& area, const Rect& plot);
  float balance_width() const;
  float gutter_width(float width) const;
  float foot(bool has_bar) const { return b_.label() + 4 + (has_bar ? b_.scale_bar_height() + 4 : 0); }

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const Selection& now_;
  const RoutingCells& cells_;
  const std::vector<LayerBalance> balance_;
  const size_t row_;  // of the selected layer; cells_.layers.size() where it has no experts
};

}  // namespace orrery
