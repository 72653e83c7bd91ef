#include "views/scene.h"

#include <cmath>

#include "kernels/base/check.h"

namespace orrery {
namespace {

Rgba blend(Rgba over, Rgba under) {
  const auto mix = [&](uint8_t o, uint8_t u) { return static_cast<uint8_t>((o * over.a + u * (255 - over.a)) / 255); };
  return {mix(over.r, under.r), mix(over.g, under.g), mix(over.b, under.b), 255};
}

Rgba with_alpha(Rgba colour, float alpha) {
  colour.a = static_cast<uint8_t>(std::lround(static_cast<float>(colour.a) * alpha));
  return colour;
}

}  // namespace

const char* text_role_name(TextRole role) {
  switch (role) {
    case TextRole::kTitle:
      return "title";
    case TextRole::kLabel:
      return "label";
    case TextRole::kTick:
      return "tick";
    case TextRole::kValue:
      return "value";
    case TextRole::kToken:
      return "token";
    case TextRole::kNote:
      return "note";
    case TextRole::kProvenance:
      return "provenance";
  }
  return "";
}

int64_t SceneAxis::value_of(int64_t cell) const {
  if (!ids.empty()) return cell >= 0 && cell < static_cast<int64_t>(ids.size()) ? ids[static_cast<size_t>(cell)] : -1;
  return begin + cell * per_cell;
}

std::string Provenance::line() const {
  std::string line = "run " + std::to_string(run);
  const auto add = [&line](const std::string& part) { line += " · " + part; };
  add(probe);
  if (step_end - step_begin == 1) {
    add("step " + std::to_string(step_begin));
  } else if (step_end > step_begin) {
    add("steps " + std::to_string(step_begin) + "–" + std::to_string(step_end - 1));
  }
  if (layer >= 0) add("layer " + (layer_label.empty() ? std::to_string(layer) : layer_label));
  if (head >= 0) add("head " + std::to_string(head));
  if (!dtype.empty()) add(dtype);
  add(exact ? "exact" : "approximate");
  add(origin_name(origin));
  if (!note.empty()) add(note);
  return line;
}

int Scene::add_scale(const ColourScale& scale) {
  scales.push_back(scale);
  return static_cast<int>(scales.size()) - 1;
}

int Scene::add_axis(SceneAxis axis) {
  axes.push_back(std::move(axis));
  return static_cast<int>(axes.size()) - 1;
}

int Scene::add(Item item) {
  items.push_back(std::move(item));
  return static_cast<int>(items.size()) - 1;
}

Rgba resolve_paint(const Paint& paint, const Scene& scene, const Theme& theme) {
  switch (paint.kind) {
    case Paint::Kind::kNone:
      return {0, 0, 0, 0};
    case Paint::Kind::kRole:
      return with_alpha(theme.colour(paint.role), paint.alpha);
    case Paint::Kind::kMapped:
    case Paint::Kind::kContrast:
      break;
  }
  DCHECK(paint.scale >= 0 && paint.scale < static_cast<int>(scene.scales.size()));
  const Rgba mapped = scene.scales[static_cast<size_t>(paint.scale)].colour(paint.value, theme.dark);
  if (paint.kind == Paint::Kind::kMapped) return mapped;
  const float ground = lightness(blend(mapped, theme.colour(ColourRole::kPanel)));
  return ground > 0.62f ? Rgba{18, 21, 26} : Rgba{246, 248, 250};
}

std::vector<Rgba> tile_pixels(const Tile& tile, const ColourScale& scale, const Theme& theme) {
  std::vector<Rgba> pixels;
  pixels.reserve(tile.values.size());
  for (const float value : tile.values) pixels.push_back(scale.colour(value, theme.dark));
  return pixels;
}

}  // namespace orrery
