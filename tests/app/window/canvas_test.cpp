// ImGuiCanvas with scenes made by hand: what is on the screen, what reaches the GL, what the pointer does.
#include <QMouseEvent>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/app/window/window_fixture.h"
#include "views/theme.h"

namespace orrery {
namespace {

using testing::wait_until;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class CanvasTest : public testing::WindowTest {
 protected:
  void SetUp() override {
    WindowTest::SetUp();
    canvas_ = std::make_unique<ImGuiCanvas>("test", times_);
    canvas_->set_scene_maker([this](Size size, const TextMetrics&) {
      Scene scene = scene_;
      scene.size = size;
      return scene;
    });
    canvas_->resize(200, 100);
    canvas_->show();
    ASSERT_TRUE(wait_until([this] { return canvas_->n_paints() > 0; }));
  }

  void TearDown() override {
    canvas_.reset();
    WindowTest::TearDown();
  }

  QImage picture() {
    canvas_->refresh();
    return canvas_->grabFramebuffer();
  }

  void send(QEvent::Type type, QPointF at, Qt::MouseButton button) {
    QMouseEvent event(type, at, canvas_->mapToGlobal(at), button, button, Qt::NoModifier);
    QApplication::sendEvent(canvas_.get(), &event);
  }

  static Tile tile(int rows, int cols, std::vector<float> values) {
    Tile tile;
    tile.name = "map";
    tile.rect = {0, 0, 200, 100};
    tile.rows = rows;
    tile.cols = cols;
    tile.values = std::move(values);
    return tile;
  }

  Scene scene_;
  FrameTimes times_;
  std::unique_ptr<ImGuiCanvas> canvas_;
};

void expect_near(QRgb seen, Rgba expected, const char* what) {
  EXPECT_NEAR(qRed(seen), expected.r, 2) << what;
  EXPECT_NEAR(qGreen(seen), expected.g, 2) << what;
  EXPECT_NEAR(qBlue(seen), expected.b, 2) << what;
}

TEST_F(CanvasTest, ColoursMapsInTheShaderAsTheTableDoes) {
  for (const ColourMapId map : {ColourMapId::kSequential, ColourMapId::kDiverging}) {
    for (const Transfer transfer : {Transfer::kLinear, Transfer::kSquareRoot, Transfer::kLogarithm}) {
      const float low = transfer == Transfer::kLogarithm ? 0.01f : -1;
      for (const ThemeKind kind : {ThemeKind::kLight, ThemeKind::kDark}) {
        const Theme& theme = theme_of(kind);
        canvas_->set_theme(theme);
        scene_ = Scene{};
        const ColourScale scale{map, low, 3, transfer};
        scene_.add_scale(scale);
        scene_.add(tile(2, 2, {-1, 0.5f, 3, std::numeric_limits<float>::infinity()}));
        const QImage seen = picture();
        expect_near(seen.pixel(50, 25), scale.colour(-1, theme.dark), "low end");
        expect_near(seen.pixel(150, 25), scale.colour(0.5f, theme.dark), "inside");
        expect_near(seen.pixel(50, 75), scale.colour(3, theme.dark), "high end");
        expect_near(seen.pixel(150, 75), scale.colour(3, theme.dark), "beyond the range");
      }
    }
  }
}

TEST_F(CanvasTest, ShowsTheGroundWhereValuesAreMissing) {
  scene_.add_scale({ColourMapId::kSequential, 0, 1, Transfer::kLinear});
  scene_.add(tile(1, 2, {kNan, 1}));
  const QImage seen = picture();
  expect_near(seen.pixel(50, 50), theme_of(ThemeKind::kLight).colour(ColourRole::kGround), "missing");
  expect_near(seen.pixel(150, 50), colour_table(ColourMapId::kSequential, false)[255], "present");
}

TEST_F(CanvasTest, UploadsOnlyRowsThatChanged) {
  scene_.add_scale({ColourMapId::kSequential, 0, 1, Transfer::kLinear});
  std::vector<float> values(100 * 8, 0.25f);
  scene_.add(tile(100, 8, values));
  picture();
  const int64_t first = canvas_->uploaded_rows();
  EXPECT_GE(first, 100);
  EXPECT_GE(canvas_->texture_bytes(), 2 * values.size() * sizeof(float)) << "in the GL, and what was sent to it";
  picture();
  EXPECT_EQ(canvas_->uploaded_rows(), first) << "nothing changed";
  values.resize(101 * 8, 0.75f);
  std::get<Tile>(scene_.items[0]) = tile(101, 8, values);
  const QImage seen = picture();
  EXPECT_EQ(canvas_->uploaded_rows(), first + 1) << "one row was added";
  expect_near(seen.pixel(100, 20), scene_.scales[0].colour(0.25f, false), "old row");
  values[50 * 8] = kNan;
  std::get<Tile>(scene_.items[0]) = tile(101, 8, values);
  picture();
  EXPECT_EQ(canvas_->uploaded_rows(), first + 2);
}

TEST_F(CanvasTest, DrawsTextOfEveryScript) {
  for (const char* text : {"plain", "мир", "العربية", "漢字", "🙂", "नमस्ते"}) {
    scene_ = Scene{};
    scene_.add(Text{{20, 50}, text, TextSize::kText});
    const QImage seen = picture();
    const QRgb ground = seen.pixel(1, 1);
    int n_inked = 0;
    for (int y = 0; y < seen.height(); ++y) {
      for (int x = 0; x < seen.width(); ++x) n_inked += seen.pixel(x, y) != ground;
    }
    EXPECT_GT(n_inked, 20) << text;
  }
}

TEST_F(CanvasTest, KeepsTheColoursOfEmoji) {
  scene_.add(Text{{20, 50}, "🔴", TextSize::kText});
  const QImage seen = picture();
  int n_red = 0;
  for (int y = 0; y < seen.height(); ++y) {
    for (int x = 0; x < seen.width(); ++x) {
      const QRgb pixel = seen.pixel(x, y);
      n_red += qRed(pixel) > 150 && qGreen(pixel) < 90 && qBlue(pixel) < 90;
    }
  }
  EXPECT_GT(n_red, 20);
}

TEST_F(CanvasTest, TurnsClicksAndHoveringIntoCommands) {
  HitRegion region;
  region.rect = {0, 0, 100, 100};
  region.click = Select{.step = 7, .layer = {}, .head = {}, .key = {}};
  region.hover = Hover{{.step = 7}};
  scene_.regions.push_back(region);
  picture();
  std::vector<Command> commands;
  canvas_->on_command = [&](const Command& command) { commands.push_back(command); };
  send(QEvent::MouseMove, {50, 50}, Qt::NoButton);
  send(QEvent::MouseButtonPress, {50, 50}, Qt::LeftButton);
  send(QEvent::MouseButtonRelease, {50, 50}, Qt::LeftButton);
  send(QEvent::MouseMove, {150, 50}, Qt::NoButton);
  ASSERT_EQ(commands.size(), 3u);
  EXPECT_EQ(commands[0], Command(Hover{{.step = 7}}));
  EXPECT_EQ(commands[1], Command(Select{.step = 7, .layer = {}, .head = {}, .key = {}}));
  EXPECT_EQ(commands[2], Command(Hover{})) << "the preview ends outside";
}

TEST_F(CanvasTest, DoesNotRepaintWhileNothingChanges) {
  picture();
  testing::run_events_for(50);
  const int64_t before = canvas_->n_paints();
  testing::run_events_for(300);
  EXPECT_EQ(canvas_->n_paints(), before);
}

TEST(FrameTimesTest, TellsQuantilesOfWhatWasAdded) {
  FrameTimes times;
  EXPECT_EQ(times.quantile_ms(0.5), 0);
  for (int i = 1; i <= 101; ++i) {
    times.add_ns(i * 1'000'000 - 1'000);
    times.end_frame();  // nothing was drawn: carried over
    times.add_ns(1'000);
    times.note_paint();
    times.end_frame();
  }
  times.end_frame();
  EXPECT_EQ(times.n_frames(), 101);
  EXPECT_DOUBLE_EQ(times.quantile_ms(0.5), 51);
  EXPECT_DOUBLE_EQ(times.quantile_ms(1), 101);
}

}  // namespace
}  // namespace orrery
