// One token through the layers at a step, as a part of the lens view: a curve of its probability, beside it its rank
// and what each layer says instead.
#pragma once

#include <string>

#include "views/lens_cells.h"
#include "views/scene_builder.h"
#include "views/token_names.h"

namespace orrery {

class LensFollow {
 public:
  // All must outlive this.
  LensFollow(SceneBuilder& builder, const FrameHistory& history, TokenNames& names, const Selection& now,
             const FollowedToken& followed, const LensTrace& trace)
      : b_(builder), history_(history), names_(names), now_(now), followed_(followed), trace_(trace) {}

  // rows: the rectangle whose rows are the layers, beside which or in which the token is drawn. gutter: what lies left
  // of the area with the layers' names.
  void draw(const Rect& area, const Rect& rows, float gutter);

 private:
  std::string at_the_end() const;
  void not_among_the_8(const Rect& plot, float pitch);
  void curve(const Rect& plot, float pitch, float high);
  void row(size_t i, const Rect& area, const Rect& plot, float pitch, float said);
  std::string place_of(size_t i);
  bool is_left(size_t i) const;  // whether the token was not in the row's iteration

  SceneBuilder& b_;
  const FrameHistory& history_;
  TokenNames& names_;
  const Selection& now_;
  const FollowedToken& followed_;
  const LensTrace& trace_;
};

}  // namespace orrery
