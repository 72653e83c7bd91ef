// Themes: what the colour roles of a scene look like, and the type sizes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "views/colour_map.h"

namespace orrery {

enum class ColourRole : uint8_t {
  kGround,      // behind everything
  kPanel,       // behind a view or a plot
  kForeground,  // text and values
  kMuted,       // axis text, secondary text
  kGrid,        // grid lines, frames, hatching
  kAccent,      // the one accent: selection, cursor
  kHover,       // what the pointer is over
  kWarning,     // gaps, drops, refusals
  kSeries1,     // keys and values, first line of a chart
  kSeries2,
  kSeries3,
  kSeries4,
  kSeries5,
  kSeries6,
  kCount,
};
inline constexpr int kSeriesColours = 6;
// Role of series i, counted round.
ColourRole series_role(int i);

enum class ThemeKind : uint8_t { kLight, kDark, kProjector };
std::string_view theme_name(ThemeKind kind);  // "light"
std::optional<ThemeKind> parse_theme(std::string_view name);

// The two type sizes, and titles, which are text in bold.
enum class TextSize : uint8_t { kLabel, kText, kTitle };

struct Theme {
  ThemeKind kind = ThemeKind::kLight;
  bool dark = false;
  std::array<Rgba, static_cast<size_t>(ColourRole::kCount)> colours;
  float label_px = 11;  // logical pixels per em
  float text_px = 14;
  float line_px = 1;  // width of thin lines

  Rgba colour(ColourRole role) const { return colours[static_cast<size_t>(role)]; }
  float size_px(TextSize size) const { return size == TextSize::kLabel ? label_px : text_px; }
};

// Valid for the program's lifetime. Any thread.
const Theme& theme_of(ThemeKind kind);

}  // namespace orrery
