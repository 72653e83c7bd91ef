#include "views/theme.h"

namespace orrery {
namespace {

constexpr size_t index(ColourRole role) { return static_cast<size_t>(role); }

Theme light() {
  Theme theme;
  theme.kind = ThemeKind::kLight;
  theme.colours[index(ColourRole::kGround)] = {241, 243, 245};
  theme.colours[index(ColourRole::kPanel)] = {255, 255, 255};
  theme.colours[index(ColourRole::kForeground)] = {28, 32, 38};
  theme.colours[index(ColourRole::kMuted)] = {92, 102, 113};
  theme.colours[index(ColourRole::kGrid)] = {221, 226, 231};
  theme.colours[index(ColourRole::kAccent)] = {214, 84, 11};
  theme.colours[index(ColourRole::kHover)] = {92, 102, 113};
  theme.colours[index(ColourRole::kWarning)] = {178, 38, 30};
  theme.colours[index(ColourRole::kSeries1)] = {42, 106, 176};
  theme.colours[index(ColourRole::kSeries2)] = {20, 140, 110};
  theme.colours[index(ColourRole::kSeries3)] = {196, 138, 16};
  theme.colours[index(ColourRole::kSeries4)] = {128, 92, 176};
  theme.colours[index(ColourRole::kSeries5)] = {66, 165, 205};
  theme.colours[index(ColourRole::kSeries6)] = {120, 128, 137};
  return theme;
}

Theme dark() {
  Theme theme;
  theme.kind = ThemeKind::kDark;
  theme.dark = true;
  theme.colours[index(ColourRole::kGround)] = {16, 19, 23};
  theme.colours[index(ColourRole::kPanel)] = {23, 27, 33};
  theme.colours[index(ColourRole::kForeground)] = {228, 232, 237};
  theme.colours[index(ColourRole::kMuted)] = {146, 156, 168};
  theme.colours[index(ColourRole::kGrid)] = {46, 53, 62};
  theme.colours[index(ColourRole::kAccent)] = {255, 154, 77};
  theme.colours[index(ColourRole::kHover)] = {146, 156, 168};
  theme.colours[index(ColourRole::kWarning)] = {255, 112, 98};
  theme.colours[index(ColourRole::kSeries1)] = {104, 170, 240};
  theme.colours[index(ColourRole::kSeries2)] = {70, 196, 160};
  theme.colours[index(ColourRole::kSeries3)] = {232, 190, 84};
  theme.colours[index(ColourRole::kSeries4)] = {180, 150, 232};
  theme.colours[index(ColourRole::kSeries5)] = {120, 208, 238};
  theme.colours[index(ColourRole::kSeries6)] = {160, 168, 178};
  return theme;
}

// For a beamer: light, stronger contrast, larger type, thicker lines.
Theme projector() {
  Theme theme = light();
  theme.kind = ThemeKind::kProjector;
  theme.colours[index(ColourRole::kGround)] = {255, 255, 255};
  theme.colours[index(ColourRole::kForeground)] = {0, 0, 0};
  theme.colours[index(ColourRole::kMuted)] = {56, 64, 72};
  theme.colours[index(ColourRole::kGrid)] = {190, 197, 204};
  theme.colours[index(ColourRole::kAccent)] = {190, 66, 0};
  theme.label_px = 16;
  theme.text_px = 21;
  theme.line_px = 1.5f;
  return theme;
}

}  // namespace

ColourRole series_role(int i) {
  return static_cast<ColourRole>(static_cast<int>(ColourRole::kSeries1) + i % kSeriesColours);
}

std::string_view theme_name(ThemeKind kind) {
  switch (kind) {
    case ThemeKind::kLight:
      return "light";
    case ThemeKind::kDark:
      return "dark";
    case ThemeKind::kProjector:
      return "projector";
  }
  return "";
}

std::optional<ThemeKind> parse_theme(std::string_view name) {
  for (const ThemeKind kind : {ThemeKind::kLight, ThemeKind::kDark, ThemeKind::kProjector}) {
    if (theme_name(kind) == name) return kind;
  }
  return std::nullopt;
}

const Theme& theme_of(ThemeKind kind) {
  static const Theme kLight = light();
  static const Theme kDark = dark();
  static const Theme kProjector = projector();
  switch (kind) {
    case ThemeKind::kLight:
      return kLight;
    case ThemeKind::kDark:
      return kDark;
    case ThemeKind::kProjector:
      return kProjector;
  }
  return kLight;
}

}  // namespace orrery
