// PNG of scenes: the same colours as on the screen, and refusals.
#include "app/window/window.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

class PngTest : public testing::WindowTest {};

TEST_F(PngTest, DrawsTilesBoxesAndText) {
  const Theme& theme = theme_of(ThemeKind::kDark);
  Scene scene;
  scene.size = {200, 100};
  const ColourScale scale{ColourMapId::kSequential, 0, 1, Transfer::kLinear};
  scene.add_scale(scale);
  Tile tile;
  tile.rect = {0, 0, 100, 100};
  tile.rows = 1;
  tile.cols = 2;
  tile.values = {0.2f, 0.9f};
  scene.add(tile);
  scene.add(Box{{120, 10, 20, 20}, Paint::of(ColourRole::kAccent), Paint::none()});
  scene.add(Text{{120, 70}, "text", TextSize::kText});
  const std::string path = file("shot.png");
  const Result<void> written = render_png(scene, theme, path);
  ASSERT_TRUE(written) << written.error().message;
  const QImage seen(QString::fromStdString(path));
  ASSERT_EQ(seen.size(), QSize(200, 100));
  const auto expect_colour = [&](QPoint at, Rgba expected, const char* what) {
    const QRgb pixel = seen.pixel(at);
    EXPECT_EQ(QColor(pixel), QColor(expected.r, expected.g, expected.b)) << what;
  };
  expect_colour({25, 50}, scale.colour(0.2f, true), "first cell");
  expect_colour({75, 50}, scale.colour(0.9f, true), "second cell");
  expect_colour({130, 20}, theme.colour(ColourRole::kAccent), "box");
  expect_colour({190, 90}, theme.colour(ColourRole::kGround), "ground");
  bool inked = false;
  for (int x = 120; x < 160; ++x) {
    for (int y = 60; y < 80; ++y) inked = inked || QColor(seen.pixel(x, y)).lightness() > 150;
  }
  EXPECT_TRUE(inked);
}

TEST_F(PngTest, RefusesSizesAndPathsInASentence) {
  const Theme& theme = theme_of(ThemeKind::kLight);
  Scene scene;
  for (const Size size : {Size{0, 100}, Size{100, 1e9f}, Size{-1, -1}}) {
    scene.size = size;
    EXPECT_FALSE(render_png(scene, theme, file("x.png")));
  }
  scene.size = {10, 10};
  const Result<void> unwritable = render_png(scene, theme, file("no such folder/x.png"));
  ASSERT_FALSE(unwritable);
  EXPECT_NE(unwritable.error().message.find("no such folder"), std::string::npos);
}

TEST_F(PngTest, MetricsAgreeWithWhatIsShaped) {
  const Theme& theme = theme_of(ThemeKind::kLight);
  const auto metrics = qt_text_metrics(theme);
  EXPECT_EQ(metrics->width("", TextSize::kText), 0);
  const float once = metrics->width("word", TextSize::kText);
  EXPECT_GT(once, 10);
  EXPECT_NEAR(metrics->width("wordword", TextSize::kText), 2 * once, 2);
  EXPECT_GT(metrics->width("漢字", TextSize::kText), metrics->width("ab", TextSize::kText));
  EXPECT_GT(metrics->line_height(TextSize::kText), metrics->ascent(TextSize::kText));
}

}  // namespace
}  // namespace orrery
