#include "views/imgui_renderer.h"

#include <cmath>

namespace orrery {
namespace {

constexpr float kHatchStep = 8;

ImU32 packed(Rgba colour) { return IM_COL32(colour.r, colour.g, colour.b, colour.a); }

class Drawer {
 public:
  Drawer(const Scene& scene, const ImGuiTarget& target, ImVec2 origin)
      : scene_(scene), target_(target), list_(target.list), origin_(origin) {}

  void draw() {
    for (const Item& item : scene_.items) std::visit([this](const auto& one) { draw_item(one); }, item);
  }

 private:
  ImVec2 at(float x, float y) const { return {origin_.x + x, origin_.y + y}; }
  ImU32 colour(const Paint& paint) const { return packed(resolve_paint(paint, scene_, target_.theme)); }

  void draw_item(const Tile& tile) {
    if (tile.rows <= 0 || tile.cols <= 0 || tile.rect.empty()) return;
    target_.tiles.add_tile(list_, scene_.view + "/" + tile.name, tile, scene_.scales[static_cast<size_t>(tile.scale)],
                           target_.theme.dark, at(tile.rect.x, tile.rect.y), at(tile.rect.right(), tile.rect.bottom()));
  }

  // Lines at 45 degrees, each cut to the rectangle, on a grid that does not move with it.
  void draw_item(const Hatch& hatch) {
    const Rect& r = hatch.rect;
    if (r.empty()) return;
    const ImU32 grid = colour(hatch_paint());
    const float first = std::ceil((r.x + r.y) / kHatchStep) * kHatchStep;
    for (float sum = first; sum < r.right() + r.bottom(); sum += kHatchStep) {
      const float x0 = std::max(r.x, sum - r.bottom());
      const float x1 = std::min(r.right(), sum - r.y);
      list_.AddLine(at(x0, sum - x0), at(x1, sum - x1), grid, 1.0f);
    }
  }

  void draw_item(const Polyline& line) {
    if (line.points.size() < 2) return;
    points_.clear();
    for (const Point& point : line.points) points_.push_back(at(point.x, point.y));
    list_.AddPolyline(points_.data(), static_cast<int>(points_.size()), colour(line.paint), ImDrawFlags_None,
                      line.width);
  }

  void draw_item(const Box& box) {
    const ImVec2 min = at(box.rect.x, box.rect.y);
    const ImVec2 max = at(box.rect.right(), box.rect.bottom());
    if (box.fill.kind != Paint::Kind::kNone) {
      const ImU32 fill = colour(box.fill);
      if ((fill & IM_COL32_A_MASK) != 0) list_.AddRectFilled(min, max, fill, box.corner);
    }
    if (box.stroke.kind != Paint::Kind::kNone) {
      list_.AddRect(min, max, colour(box.stroke), box.corner, ImDrawFlags_None, box.stroke_width);
    }
  }

  void draw_item(const Text& text) {
    const auto quads = target_.glyphs.quads(text.text, text.size);
    if (quads.empty()) return;
    const Size line = target_.glyphs.line_size(text.text, text.size);
    const float shift = text.align == Align::kLeft ? 0 : text.align == Align::kCentre ? line.width / 2 : line.width;
    // Whole pixels keep glyphs sharp.
    const ImVec2 corner{std::round(origin_.x + text.at.x - shift), std::round(origin_.y + text.at.y - line.height / 2)};
    const ImU32 tint = colour(text.paint);
    for (const GlyphSource::Quad& quad : quads) {
      const ImU32 shade = quad.coloured ? (IM_COL32_WHITE & ~IM_COL32_A_MASK) | (tint & IM_COL32_A_MASK) : tint;
      list_.PushTextureID(quad.texture);
      list_.PrimReserve(6, 4);
      list_.PrimRectUV({corner.x + quad.rect.x, corner.y + quad.rect.y},
                       {corner.x + quad.rect.right(), corner.y + quad.rect.bottom()}, {quad.uv_min.x, quad.uv_min.y},
                       {quad.uv_max.x, quad.uv_max.y}, shade);
      list_.PopTextureID();
    }
  }

  const Scene& scene_;
  const ImGuiTarget& target_;
  ImDrawList& list_;
  ImVec2 origin_;
  std::vector<ImVec2> points_;
};

void draw_at(const Scene& scene, const ImGuiTarget& target, ImVec2 origin) {
  Drawer(scene, target, origin).draw();
  for (const ScenePanel& panel : scene.panels) {
    draw_at(*panel.scene, target, {origin.x + panel.rect.x, origin.y + panel.rect.y});
  }
}

}  // namespace

void draw(const Scene& scene, const ImGuiTarget& target) { draw_at(scene, target, target.origin); }

}  // namespace orrery
