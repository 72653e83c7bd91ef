// PNG of a scene, without a display.
#include <QGuiApplication>
#include <QImage>
#include <QPainter>
#include <cmath>
#include <cstdio>

#include "app/window/fonts.h"
#include "app/window/png_painter.h"
#include "app/window/window.h"

namespace orrery {
namespace {

// Fonts need an application object; the offscreen platform needs no display. It lives until the process ends.
void ensure_gui_application() {
  if (QCoreApplication::instance() != nullptr) return;
  // What Qt remarks about runtime folders and scripts without fonts does not help who asked for a picture.
  qInstallMessageHandler([](QtMsgType type, const QMessageLogContext&, const QString& text) {
    if (type == QtCriticalMsg || type == QtFatalMsg) std::fprintf(stderr, "%s\n", qUtf8Printable(text));
  });
  static int argc = 3;
  static char name[] = "orrery", option[] = "-platform", platform[] = "offscreen";
  static char* argv[] = {name, option, platform, nullptr};
  static QGuiApplication* const application = new QGuiApplication(argc, argv);
  (void)application;
}

// The widest side that a picture may have: 1 GiB of pixels at most.
constexpr float kLargestSide = 16384;

}  // namespace

std::unique_ptr<TextMetrics> qt_text_metrics(const Theme& theme) {
  ensure_gui_application();
  return std::make_unique<QtTextMetrics>(theme);
}

const char* scene_font_families() { return kSceneFontFamilies; }

Result<void> render_png(const Scene& scene, const Theme& theme, const std::filesystem::path& path) {
  ensure_gui_application();
  if (!(scene.size.width >= 1 && scene.size.height >= 1 && scene.size.width <= kLargestSide &&
        scene.size.height <= kLargestSide)) {
    return Error{ErrorCode::kInvalidArgument, "a picture is between 1 and 16384 pixels wide and high, not " +
                                                  std::to_string(std::lround(scene.size.width)) + "x" +
                                                  std::to_string(std::lround(scene.size.height))};
  }
  QImage image(static_cast<int>(std::ceil(scene.size.width)), static_cast<int>(std::ceil(scene.size.height)),
               QImage::Format_RGB32);
  if (image.isNull()) return Error{ErrorCode::kOutOfMemory, "no memory for the picture: " + path.string()};
  const Rgba ground = theme.colour(ColourRole::kGround);
  image.fill(QColor(ground.r, ground.g, ground.b));
  {
    QPainter painter(&image);
    paint_scene(painter, scene, theme);
  }
  if (!image.save(QString::fromStdString(path.string()), "PNG")) {
    return Error{ErrorCode::kIo, "cannot write the picture: " + path.string()};
  }
  return {};
}

}  // namespace orrery
