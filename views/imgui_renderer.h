// Scene -> ImGui draw list. UI thread, inside an ImGui frame.
#pragma once

#include <imgui.h>

#include "views/scene.h"
#include "views/text_metrics.h"

namespace orrery {

// Draws a tile as one textured quad. In the window: a float texture and the colour table in a shader.
class TilePainter {
 public:
  virtual ~TilePainter() = default;
  // Appends the quad (and what state changes it needs) to `list`. NaN cells are transparent. `key` names the tile
  // within the canvas ("attention/attention map"), the same from frame to frame.
  virtual void add_tile(ImDrawList& list, std::string_view key, const Tile& tile, const ColourScale& scale, bool dark,
                        ImVec2 min, ImVec2 max) = 0;
};

struct ImGuiTarget {
  ImDrawList& list;
  ImVec2 origin;  // where the scene's top left goes
  const Theme& theme;
  GlyphSource& glyphs;
  TilePainter& tiles;
};

void draw(const Scene& scene, const ImGuiTarget& target);

}  // namespace orrery
