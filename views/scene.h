// Scene: a picture as data. Drawn by ImGui in the window, by QPainter for PNG, by the SVG writer; its JSON carries the
// values that were drawn. Coordinates are logical pixels from the scene's top left. A Scene owns all it needs: it may
// outlive the history it was made from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "probes/frame.h"
#include "views/command.h"
#include "views/geometry.h"
#include "views/theme.h"

namespace orrery {

// What a shape is coloured with.
struct Paint {
  enum class Kind : uint8_t {
    kNone,
    kRole,      // role, with alpha
    kMapped,    // scales[scale] at value
    kContrast,  // black or white, whichever is readable on kMapped
  };
  Kind kind = Kind::kNone;
  ColourRole role = ColourRole::kForeground;
  float alpha = 1;
  int scale = 0;  // into Scene::scales
  float value = 0;

  static Paint none() { return {}; }
  static Paint of(ColourRole role, float alpha = 1) { return {Kind::kRole, role, alpha, 0, 0}; }
  static Paint mapped(int scale, float value) { return {Kind::kMapped, ColourRole::kForeground, 1, scale, value}; }
  static Paint contrast(int scale, float value) { return {Kind::kContrast, ColourRole::kForeground, 1, scale, value}; }
};

// A map: values coloured by a scale, nearest neighbour, stretched over rect. NaN is missing and transparent; where
// cells are missing that could exist, a Hatch lies underneath.
struct Tile {
  std::string name = {};  // "attention map": the same from frame to frame, so that textures can be kept
  Rect rect = {};
  int rows = 0;
  int cols = 0;
  std::vector<float> values = {};  // [rows, cols]
  int scale = 0;                   // into Scene::scales
  int row_axis = -1;               // into Scene::axes
  int col_axis = -1;
  std::string probe = {};  // "attention.row"
  std::string unit = {};
  std::string infinite = {};  // what an infinite value says: "never decays"; drawn as the highest
};

// Diagonal hatching, thin lines of hatch_paint: missing is drawn as missing.
struct Hatch {
  Rect rect;
};
inline Paint hatch_paint() { return Paint::of(ColourRole::kMuted, 0.4f); }

struct Polyline {
  std::vector<Point> points = {};
  Paint paint = {};
  float width = 1;
};

struct Box {
  Rect rect;
  Paint fill;
  Paint stroke;
  float stroke_width = 1;
  float corner = 0;
};

enum class TextRole : uint8_t { kTitle, kLabel, kTick, kValue, kToken, kNote, kProvenance };
const char* text_role_name(TextRole role);  // "title"

enum class Align : uint8_t { kLeft, kCentre, kRight };

struct Text {
  Point at = {};          // x by alignment; y: the vertical middle of the line
  std::string text = {};  // valid UTF-8, one line, no control characters; data, never markup
  TextSize size = TextSize::kLabel;
  Align align = Align::kLeft;
  Paint paint = Paint::of(ColourRole::kForeground);
  TextRole role = TextRole::kLabel;
};

using Item = std::variant<Tile, Hatch, Polyline, Box, Text>;

struct Tick {
  double value = 0;  // in the axis' unit
  std::string label = {};
  float position = 0;  // scene px along the axis
};

// What a direction in the picture means.
struct SceneAxis {
  enum class Means : uint8_t { kNothing, kStep, kKey, kLayer, kHead, kIteration, kExpert };  // iterations from 1
  std::string name = {};                                                                     // "key", "layer"
  std::string unit = {};                                                                     // "token", "KiB", ""
  Means means = Means::kNothing;
  // Cell i covers [begin + i * per_cell, begin + (i + 1) * per_cell), cut at end; or ids[i] where ids is not empty.
  int64_t begin = 0;
  int64_t end = 0;
  int64_t per_cell = 1;
  std::vector<int64_t> ids = {};
  std::vector<std::string> labels = {};  // per cell; empty where there are too many to name
  std::vector<Tick> ticks = {};

  // First value of cell i.
  int64_t value_of(int64_t cell) const;
};

// Numbers behind lines and bars.
struct Series {
  std::string name = {};
  std::string probe = {};
  std::string unit = {};
  std::string x_name = {};  // "step", "layer", "key", "candidate"
  std::vector<double> x = {};
  std::vector<double> y = {};            // NaN: missing
  std::vector<std::string> labels = {};  // per point, may be empty
};

struct Provenance {
  int64_t run = 0;
  std::string probe = {};
  int64_t step_begin = 0;  // half-open
  int64_t step_end = 0;
  int32_t layer = -1;  // -1: all or none
  std::string layer_label = {};
  int32_t head = -1;
  std::string dtype = {};
  bool exact = true;
  Origin origin = Origin::kLive;
  std::string note = {};  // "block mass, approximate positions", "largest of 4 x 4 cells"

  std::string line() const;  // "run 1 · attention.row · step 211 · 9 attention · head 3 · F32 · exact · live"
};

// A place that answers the pointer. Later regions lie over earlier ones.
struct HitRegion {
  Rect rect = {};
  std::optional<Command> click = {};
  std::optional<Hover> hover = {};
  std::string tooltip = {};
  bool scrub = false;  // dragging repeats the click at every place
  // A handle along x: a click asks for the exit whose threshold lies there.
  struct Slide {
    ExitRule rule = ExitRule::kGate;
    float greatest = 1;  // at the right end; 0 at the left
  };
  std::optional<Slide> slide = {};
  // A grid of cells over rect; cells give the command and the tooltip by what their axes mean. rows = 0: no grid.
  int rows = 0;
  int cols = 0;
  int row_axis = -1;
  int col_axis = -1;
  int tile_item = -1;                    // into Scene::items: whose values the tooltip tells
  std::vector<int32_t> tokens = {};      // [rows, cols]: the token that a click on the cell pins; -1: none
  Selection base = {};                   // what a click selects beside the axes' values (-1: leaves it)
  std::optional<int64_t> text_top = {};  // what a click's Select carries on
  // Columns of unequal width that are consecutive steps: [cols + 1] edges in scene px, ascending, the first step, and
  // the series with their values and names. Instead of axes.
  std::vector<float> edges = {};
  int64_t first_step = 0;
  int series = -1;
  // Wheel.
  std::optional<Command> wheel_up = {};
  std::optional<Command> wheel_down = {};
  bool wheel_zooms_keys = false;   // around the column under the pointer
  bool wheel_zooms_steps = false;  // around the row under the pointer (or the column, where columns are steps)
};

struct Scene;

struct ScenePanel {
  std::string name;
  Rect rect;  // where the child lies; the child's coordinates begin at its corner
  std::shared_ptr<Scene> scene;
};

struct Scene {
  std::string view;
  std::string title;
  Size size;
  Selection selection;  // resolved
  std::vector<Item> items;
  std::vector<HitRegion> regions;
  std::vector<ColourScale> scales;
  std::vector<SceneAxis> axes;
  std::vector<Series> series;
  std::vector<Provenance> provenance;
  std::vector<std::string> notes;  // what is approximated, downsampled or absent, in sentences
  std::vector<ScenePanel> panels;  // children, drawn after the items

  int add_scale(const ColourScale& scale);
  int add_axis(SceneAxis axis);
  // Index of the item.
  int add(Item item);
};

Rgba resolve_paint(const Paint& paint, const Scene& scene, const Theme& theme);

// One pixel per cell, row major; what SVG and QPainter stretch with nearest neighbour.
std::vector<Rgba> tile_pixels(const Tile& tile, const ColourScale& scale, const Theme& theme);

// --- the pointer ---

struct Hit {
  std::optional<Command> click = {};
  std::optional<Hover> hover = {};
  std::string tooltip = {};  // one or more lines
  bool scrub = false;
};
// The topmost region at p, panels included.
std::optional<Hit> hit_test(const Scene& scene, Point p);
// What the wheel does at p; notches > 0: away from the user (zooms in, scrolls up).
std::optional<Command> wheel_at(const Scene& scene, Point p, float notches);

}  // namespace orrery
