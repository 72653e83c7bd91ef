// The maps of the loop view, one below the other on one axis of steps: lanes of depths, as recorded and as a what-if
// gives them, and iterations × tokens of how far each iteration moves a token, in which direction, and where the gate
// would stop it.
#pragma once

#include <string>
#include <vector>

#include "views/loop_cells.h"
#include "views/scene_builder.h"

namespace orrery {

class LoopMaps {
 public:
  // depth_scale: into Scene::scales. All must outlive this.
  LoopMaps(SceneBuilder& builder, const SceneInput& input, const Selection& now, int depth_scale);

  // As many maps as fit.
  void draw(const Rect& area);

 private:
  struct Look {
    const char* probe;
    const char* title;
    ColourScale colours;  // high 0: the greatest value
  };
  struct Drawn {
    const char* probe = "";
    const char* title = "";
    int scale = 0;
    bool is_last = false;
  };

  static const std::vector<Look>& looks();
  std::vector<Look> offered() const;
  float lane_height() const;
  void lane(const LoopMap& map, const char* probe, const char* tile, const std::string& title, Paint paint,
            const Rect& plot, bool is_last);
  void titled_map(const Look& look, const Rect& plot, bool is_last);
  void map(const LoopMap& map, const Drawn& drawn, const Rect& plot);
  LoopMap read(const char* name, const Rect& plot) const;
  void iteration_labels(SceneAxis& rows, const Rect& plot);
  void marks(const LoopMap& map, const Rect& plot, int64_t end);
  void add_provenance(const LoopMap& map, const Drawn& drawn);
  StepRange steps() const { return visible_range(state_.steps, history_.n_processed()); }

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const Selection& now_;
  const LoopConfig& loop_;
  const int depth_scale_;
  float gutter_ = 0;  // left of the maps, for the iterations' numbers
};

}  // namespace orrery
