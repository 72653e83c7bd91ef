// Points, sizes and rectangles of scenes, in logical pixels: x to the right, y down.
#pragma once

#include <algorithm>

namespace orrery {

struct Point {
  float x = 0;
  float y = 0;
  bool operator==(const Point&) const = default;
};

struct Size {
  float width = 0;
  float height = 0;
  bool operator==(const Size&) const = default;
};

struct Rect {
  float x = 0;
  float y = 0;
  float width = 0;
  float height = 0;

  float right() const { return x + width; }
  float bottom() const { return y + height; }
  Point centre() const { return {x + width / 2, y + height / 2}; }
  bool empty() const { return width <= 0 || height <= 0; }
  bool contains(Point p) const { return p.x >= x && p.x < right() && p.y >= y && p.y < bottom(); }
  // Smaller by the given margins, never negative in size.
  Rect inset(float left, float top, float right_margin, float bottom_margin) const {
    return {x + left, y + top, std::max(0.0f, width - left - right_margin),
            std::max(0.0f, height - top - bottom_margin)};
  }
  Rect inset(float margin) const { return inset(margin, margin, margin, margin); }
  Rect moved(float dx, float dy) const { return {x + dx, y + dy, width, height}; }
  bool operator==(const Rect&) const = default;
};

}  // namespace orrery
