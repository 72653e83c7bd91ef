#include "views/colour_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace orrery {
namespace {

// OKLab (Ottosson 2020): equal steps look equal, so straight lines between anchors of rising lightness stay even.
struct Lab {
  float l = 0;
  float a = 0;
  float b = 0;
};

float to_linear(uint8_t channel) {
  const float c = static_cast<float>(channel) / 255.0f;
  return c <= 0.04045f ? c / 12.92f : std::pow((c + 0.055f) / 1.055f, 2.4f);
}

uint8_t from_linear(float c) {
  c = std::clamp(c, 0.0f, 1.0f);
  const float s = c <= 0.0031308f ? 12.92f * c : 1.055f * std::pow(c, 1.0f / 2.4f) - 0.055f;
  return static_cast<uint8_t>(std::lround(s * 255.0f));
}

Lab to_lab(Rgba colour) {
  const float r = to_linear(colour.r);
  const float g = to_linear(colour.g);
  const float b = to_linear(colour.b);
  const float l = std::cbrt(0.4122214708f * r + 0.5363325363f * g + 0.0514459929f * b);
  const float m = std::cbrt(0.2119034982f * r + 0.6806995451f * g + 0.1073969566f * b);
  const float s = std::cbrt(0.0883024619f * r + 0.2817188376f * g + 0.6299787005f * b);
  return {0.2104542553f * l + 0.7936177850f * m - 0.0040720468f * s,
          1.9779984951f * l - 2.4285922050f * m + 0.4505937099f * s,
          0.0259040371f * l + 0.7827717662f * m - 0.8086757660f * s};
}

Rgba from_lab(Lab lab) {
  const auto cube = [](float x) { return x * x * x; };
  const float l = cube(lab.l + 0.3963377774f * lab.a + 0.2158037573f * lab.b);
  const float m = cube(lab.l - 0.1055613458f * lab.a - 0.0638541728f * lab.b);
  const float s = cube(lab.l - 0.0894841775f * lab.a - 1.2914855480f * lab.b);
  return {from_linear(4.0767416621f * l - 3.3077115913f * m + 0.2309699292f * s),
          from_linear(-1.2684380046f * l + 2.6097574011f * m - 0.3413193965f * s),
          from_linear(-0.0041960863f * l - 0.7034186147f * m + 1.7076147010f * s), 255};
}

using Table = std::array<Rgba, 256>;

template <size_t n>
Table through(const std::array<Rgba, n>& anchors) {
  Table table;
  for (size_t i = 0; i < table.size(); ++i) {
    const float place = static_cast<float>(i) / 255.0f * static_cast<float>(n - 1);
    const size_t k = std::min(static_cast<size_t>(place), n - 2);
    const float t = place - static_cast<float>(k);
    const Lab from = to_lab(anchors[k]);
    const Lab to = to_lab(anchors[k + 1]);
    table[i] = from_lab({std::lerp(from.l, to.l, t), std::lerp(from.a, to.a, t), std::lerp(from.b, to.b, t)});
  }
  return table;
}

// From transparent at 0 over `least` just above it to `most`.
Table growing_alpha(Rgba colour, float least, float most) {
  Table table;
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = colour;
    table[i].a =
        i == 0 ? 0 : static_cast<uint8_t>(std::lround(255 * std::lerp(least, most, static_cast<float>(i) / 255)));
  }
  return table;
}

Table make_table(ColourMapId map, bool dark) {
  switch (map) {
    case ColourMapId::kSequential:
      if (dark) {
        return through(std::array<Rgba, 6>{Rgba{24, 28, 35}, Rgba{33, 50, 92}, Rgba{40, 96, 146}, Rgba{58, 153, 166},
                                           Rgba{146, 208, 143}, Rgba{250, 243, 180}});
      }
      return through(std::array<Rgba, 6>{Rgba{246, 248, 250}, Rgba{200, 222, 233}, Rgba{125, 178, 209},
                                         Rgba{62, 125, 182}, Rgba{41, 73, 140}, Rgba{29, 26, 72}});
    case ColourMapId::kDiverging:
      if (dark) {
        return through(std::array<Rgba, 5>{Rgba{142, 197, 255}, Rgba{46, 106, 178}, Rgba{27, 31, 38}, Rgba{171, 93, 20},
                                           Rgba{255, 192, 120}});
      }
      return through(std::array<Rgba, 5>{Rgba{16, 62, 122}, Rgba{102, 158, 209}, Rgba{245, 246, 247},
                                         Rgba{229, 155, 82}, Rgba{128, 58, 6}});
    case ColourMapId::kTint:
      return dark ? growing_alpha({86, 156, 230, 255}, 0, 0.72f) : growing_alpha({74, 144, 217, 255}, 0, 0.62f);
    case ColourMapId::kMarks:
      return dark ? growing_alpha({255, 84, 160, 255}, 0.3f, 1) : growing_alpha({222, 0, 112, 255}, 0.3f, 1);
  }
  return {};
}

constexpr size_t kMaps = 4;

}  // namespace

std::string_view colour_map_name(ColourMapId map) {
  switch (map) {
    case ColourMapId::kSequential:
      return "sequential";
    case ColourMapId::kDiverging:
      return "diverging";
    case ColourMapId::kTint:
      return "tint";
    case ColourMapId::kMarks:
      return "marks";
  }
  return "";
}

std::span<const Rgba> colour_table(ColourMapId map, bool dark) {
  static const std::array<Table, 2 * kMaps> kTables = [] {
    std::array<Table, 2 * kMaps> tables;
    for (size_t i = 0; i < kMaps; ++i) {
      tables[2 * i] = make_table(static_cast<ColourMapId>(i), false);
      tables[2 * i + 1] = make_table(static_cast<ColourMapId>(i), true);
    }
    return tables;
  }();
  return kTables[2 * static_cast<size_t>(map) + (dark ? 1 : 0)];
}

float lightness(Rgba colour) { return to_lab(colour).l; }

float ColourScale::position(float value) const {
  if (std::isnan(value)) return std::numeric_limits<float>::quiet_NaN();
  if (transfer == Transfer::kLogarithm) {
    if (!(value > low) || !(high > low)) return 0.0f;
    return std::log(std::min(value, high) / low) / std::log(high / low);
  }
  const float span = high - low;
  const float place = span > 0 ? std::clamp((value - low) / span, 0.0f, 1.0f) : 0.0f;
  if (transfer == Transfer::kLinear) return place;
  if (map != ColourMapId::kDiverging) return std::sqrt(place);
  const float side = 2 * place - 1;
  return 0.5f + 0.5f * std::copysign(std::sqrt(std::fabs(side)), side);
}

float ColourScale::value_at(float place) const {
  if (transfer == Transfer::kLogarithm) return low * std::pow(high / low, place);
  if (transfer == Transfer::kSquareRoot) {
    const float side = 2 * place - 1;
    place = map == ColourMapId::kDiverging ? 0.5f + 0.5f * side * std::fabs(side) : place * place;
  }
  return low + (high - low) * place;
}

Rgba ColourScale::colour(float value, bool dark) const {
  const float place = position(value);
  if (std::isnan(place)) return {0, 0, 0, 0};
  return colour_table(map, dark)[static_cast<size_t>(std::lround(place * 255.0f))];
}

}  // namespace orrery
