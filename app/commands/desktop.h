// What commands may ask of Qt. main.cpp fills it in where the program is built with the window; else all are null and
// commands refuse windows and PNG with a sentence.
#pragma once

#include <filesystem>
#include <memory>

#include "app/window/window.h"
#include "kernels/base/result.h"
#include "views/scene.h"
#include "views/text_metrics.h"
#include "views/theme.h"

namespace orrery {

// Functions as declared, and explained, in app/window/window.h.
struct Desktop {
  int (*run_window)(int argc, char** argv, const WindowOptions& options) = nullptr;
  std::unique_ptr<TextMetrics> (*text_metrics)(const Theme& theme) = nullptr;
  Result<void> (*render_png)(const Scene& scene, const Theme& theme, const std::filesystem::path& path) = nullptr;

  bool available() const { return run_window != nullptr; }
};

// "this build has no window and draws no PNG; ..."
Error no_desktop(std::string_view wanted);

}  // namespace orrery
