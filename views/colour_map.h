// Colour maps: one table of 256 colours for the ImGui shader, QPainter and SVG alike.
// Safe for colour-blind eyes: lightness changes monotonically along the sequential map and from the middle outwards
// along the diverging one, and hues run from blue to yellow or orange. Zero sits near the ground colour of the theme,
// so each map has a light and a dark table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace orrery {

struct Rgba {
  uint8_t r = 0;
  uint8_t g = 0;
  uint8_t b = 0;
  uint8_t a = 255;
  bool operator==(const Rgba&) const = default;
};

enum class ColourMapId : uint8_t {
  kSequential,  // amounts, from the ground colour to strong
  kDiverging,   // signed values only, neutral in the middle
  kTint,        // the accent colour with growing alpha: behind text that must stay readable
  kMarks,       // a contrasting colour with growing alpha: marks over another map
};
std::string_view colour_map_name(ColourMapId map);  // "sequential"

// 256 colours from the low to the high end; valid for the program's lifetime. Any thread.
std::span<const Rgba> colour_table(ColourMapId map, bool dark);

// Relative lightness (L of OKLab, 0..1) of an opaque colour.
float lightness(Rgba colour);

// Square root: small weights stay visible; along a diverging map, on both sides of its middle. Logarithm: what spans
// powers of ten; low must be above 0.
enum class Transfer : uint8_t { kLinear, kSquareRoot, kLogarithm };

// How values become colours. Every tile and every mapped paint has one, and every scale that is used is drawn as a bar.
struct ColourScale {
  ColourMapId map = ColourMapId::kSequential;
  float low = 0;
  float high = 1;
  Transfer transfer = Transfer::kLinear;

  // Place of a value in the table, 0..1, clamped (infinite: 1); NaN stays NaN (missing).
  float position(float value) const;
  // The value at a place; the inverse of position.
  float value_at(float place) const;
  // Fully transparent where the value is NaN.
  Rgba colour(float value, bool dark) const;
  bool operator==(const ColourScale&) const = default;
};

}  // namespace orrery
