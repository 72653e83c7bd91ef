#include "views/colour_map.h"

#include <gtest/gtest.h>

#include <cmath>

#include "views/theme.h"

namespace orrery {
namespace {

TEST(ColourMap, SequentialLightnessIsMonotone) {
  for (const bool dark : {false, true}) {
    const auto table = colour_table(ColourMapId::kSequential, dark);
    ASSERT_EQ(table.size(), 256u);
    for (size_t i = 1; i < table.size(); ++i) {
      // Eight-bit colours round lightness by up to 0.003.
      const float step = lightness(table[i]) - lightness(table[i - 1]);
      EXPECT_TRUE(dark ? step > -0.003f : step < 0.003f) << i;
    }
    EXPECT_GT(std::fabs(lightness(table[255]) - lightness(table[0])), 0.65f);
  }
}

TEST(ColourMap, DivergingLightnessIsMonotoneFromTheMiddle) {
  for (const bool dark : {false, true}) {
    const auto table = colour_table(ColourMapId::kDiverging, dark);
    for (size_t i = 1; i < table.size(); ++i) {
      const float step = lightness(table[i]) - lightness(table[i - 1]);
      const bool rises = (i <= 127) != dark;
      EXPECT_TRUE(rises ? step > -0.003f : step < 0.003f) << i;
    }
    // The two ends are told apart by blue against orange, which all common kinds of colour blindness keep.
    EXPECT_GT(table[0].b, table[0].r);
    EXPECT_GT(table[255].r, table[255].b);
  }
}

TEST(ColourMap, TintsGrowFromNothing) {
  for (const ColourMapId map : {ColourMapId::kTint, ColourMapId::kMarks}) {
    const auto table = colour_table(map, false);
    EXPECT_EQ(table[0].a, 0);
    for (size_t i = 1; i < table.size(); ++i) EXPECT_GE(table[i].a, table[i - 1].a);
  }
}

TEST(ColourScale, PlacesValuesAndKeepsMissingMissing) {
  const ColourScale scale{.low = 0, .high = 4, .transfer = Transfer::kSquareRoot};
  EXPECT_FLOAT_EQ(scale.position(1), 0.5f);
  EXPECT_FLOAT_EQ(scale.position(9), 1.0f);
  EXPECT_FLOAT_EQ(scale.position(-1), 0.0f);
  EXPECT_FLOAT_EQ(scale.value_at(0.5f), 1.0f);
  EXPECT_TRUE(std::isnan(scale.position(std::nanf(""))));
  EXPECT_EQ(scale.colour(std::nanf(""), false).a, 0);
  EXPECT_EQ(ColourScale({.low = 2, .high = 2}).position(2), 0.0f);
}

TEST(ColourScale, RootsAlongADivergingMapGoBothWaysFromTheMiddle) {
  const ColourScale scale{.map = ColourMapId::kDiverging, .low = -4, .high = 4, .transfer = Transfer::kSquareRoot};
  EXPECT_FLOAT_EQ(scale.position(0), 0.5f);
  EXPECT_FLOAT_EQ(scale.position(1), 0.75f);
  EXPECT_FLOAT_EQ(scale.position(-1), 0.25f);
  EXPECT_FLOAT_EQ(scale.position(-9), 0.0f);
  for (const float place : {0.0f, 0.1f, 0.5f, 0.8f, 1.0f})
    EXPECT_NEAR(scale.position(scale.value_at(place)), place, 1e-6f);
}

float contrast(Rgba a, Rgba b) {
  const auto luminance = [](Rgba c) {
    const auto linear = [](uint8_t v) {
      const float x = static_cast<float>(v) / 255;
      return x <= 0.03928f ? x / 12.92f : std::pow((x + 0.055f) / 1.055f, 2.4f);
    };
    return 0.2126f * linear(c.r) + 0.7152f * linear(c.g) + 0.0722f * linear(c.b);
  };
  const float la = luminance(a);
  const float lb = luminance(b);
  return (std::max(la, lb) + 0.05f) / (std::min(la, lb) + 0.05f);
}

TEST(ColourScale, ALogarithmSpreadsPowersOfTenAndTakesTheInfinite) {
  const ColourScale scale{.low = 0.1f, .high = 1000, .transfer = Transfer::kLogarithm};
  EXPECT_NEAR(scale.position(1), 0.25f, 1e-5);
  EXPECT_NEAR(scale.position(100), 0.75f, 1e-5);
  EXPECT_EQ(scale.position(0), 0);
  EXPECT_NEAR(scale.position(std::numeric_limits<float>::infinity()), 1, 1e-6);
  EXPECT_TRUE(std::isnan(scale.position(std::nanf(""))));
  for (const float place : {0.0f, 0.3f, 1.0f}) EXPECT_NEAR(scale.position(scale.value_at(place)), place, 1e-5);
}

TEST(Theme, TextIsReadableOnPanels) {
  for (const ThemeKind kind : {ThemeKind::kLight, ThemeKind::kDark, ThemeKind::kProjector}) {
    const Theme& theme = theme_of(kind);
    const Rgba panel = theme.colour(ColourRole::kPanel);
    EXPECT_GE(contrast(theme.colour(ColourRole::kForeground), panel), 7.0f) << theme_name(kind);
    EXPECT_GE(contrast(theme.colour(ColourRole::kMuted), panel), 4.5f) << theme_name(kind);
    EXPECT_GE(contrast(theme.colour(ColourRole::kAccent), panel), 3.0f) << theme_name(kind);
    EXPECT_EQ(parse_theme(theme_name(kind)), kind);
  }
  EXPECT_FALSE(parse_theme("sepia").has_value());
}

}  // namespace
}  // namespace orrery
