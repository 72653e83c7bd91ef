#include "app/window/window.h"

#include <QApplication>
#include <QSurfaceFormat>
#include <cstdio>
#include <cstdlib>

#include "app/window/main_window.h"

namespace orrery {

int run_window(int argc, char** argv, const WindowOptions& options) {
  const auto is_set = [](const char* variable) {
    const char* value = std::getenv(variable);
    return value != nullptr && *value != '\0';
  };
  // Qt would end the process with a page of text.
  if (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") && !is_set("QT_QPA_PLATFORM")) {
    std::fputs("orrery: there is no display to open the window on: DISPLAY and WAYLAND_DISPLAY are not set\n", stderr);
    return 1;
  }
  // Textures and contexts outlive the floating of a dock.
  QApplication::setAttribute(Qt::AA_ShareOpenGLContexts);
  QSurfaceFormat format;
  format.setVersion(3, 3);
  format.setProfile(QSurfaceFormat::CoreProfile);
  format.setSwapInterval(0);
  QSurfaceFormat::setDefaultFormat(format);
  QApplication application(argc, argv);
  QApplication::setOrganizationName(QStringLiteral("orrery"));
  QApplication::setApplicationName(QStringLiteral("orrery"));
  QApplication::setApplicationDisplayName(QStringLiteral("Orrery"));
  MainWindow window(options);
  window.show();
  return QApplication::exec();
}

}  // namespace orrery
