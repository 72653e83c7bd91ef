// How wide text is, and where its glyphs are: declared here, implemented by Qt in the window, and by fixed widths in
// tests and headless builds without Qt.
#pragma once

#include <imgui.h>

#include <span>
#include <string_view>

#include "views/geometry.h"
#include "views/theme.h"

namespace orrery {

// Views measure thousands of short strings per frame: implementations are expected to remember what they measured.
class TextMetrics {
 public:
  virtual ~TextMetrics() = default;
  // Logical pixels that a line of valid UTF-8 without control characters takes.
  virtual float width(std::string_view utf8, TextSize size) const = 0;
  virtual float line_height(TextSize size) const = 0;
  // From the top of a line to its baseline.
  virtual float ascent(TextSize size) const = 0;
};

// The metrics of DejaVu Sans Mono: 0.602 em a character, twice that for wide ones, nothing for combining ones.
class FixedWidthMetrics final : public TextMetrics {
 public:
  explicit FixedWidthMetrics(const Theme& theme) : theme_(theme) {}
  float width(std::string_view utf8, TextSize size) const override;
  float line_height(TextSize size) const override;
  float ascent(TextSize size) const override;

 private:
  const Theme& theme_;
};

// Where text is found in textures. Bound to one theme and one device pixel ratio. UI thread only.
class GlyphSource {
 public:
  struct Quad {
    ImTextureID texture = nullptr;
    Rect rect;  // logical pixels, from the top left of the line
    Point uv_min;
    Point uv_max;
    bool coloured = false;  // emoji: drawn as it is, not tinted
  };
  virtual ~GlyphSource() = default;
  // What the line takes, as TextMetrics says.
  virtual Size line_size(std::string_view utf8, TextSize size) = 0;
  // The quads of one line; valid until the next call.
  virtual std::span<const Quad> quads(std::string_view utf8, TextSize size) = 0;
};

}  // namespace orrery
