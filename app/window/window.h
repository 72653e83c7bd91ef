// What the rest of the program asks of the window and of Qt. No Qt in this header: main.cpp includes it where the
// program is built with ORRERY_WINDOW, and refuses windows and PNG with a sentence where it is not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "app/backend_choice.h"
#include "kernels/base/result.h"
#include "views/scene.h"
#include "views/text_metrics.h"
#include "views/theme.h"

namespace orrery {

struct WindowOptions {
  std::filesystem::path
      file;               // a session or a model (file, folder, or the name of an installed one); empty: start page
  std::string prompt;     // put into the prompt box; empty: the box keeps its example
  bool generate = false;  // with a model: starts generating as soon as it is loaded (the demo of ./run)
  int threads = 0;        // of the engine; 0: all usable cores
  std::optional<std::string> backend = {};  // as --backend takes it; none: what was last chosen in the window
  BackendMakers backends = {};              // tests put others in their place
};

// Shows the window and returns the program's exit status when it is closed. Main thread, at most once in a process,
// and not after the functions below. 1 with a sentence on stderr where there is no display.
int run_window(int argc, char** argv, const WindowOptions& options);

// --- pictures without a display (Qt's offscreen platform) ---

// Metrics of the fonts that render_png draws with. `theme` outlives them. Main thread.
std::unique_ptr<TextMetrics> qt_text_metrics(const Theme& theme);

// Writes the scene as a PNG of its size in pixels, over the theme's ground colour; replaces the file. The scene was
// laid out with qt_text_metrics(theme). kIo where it cannot be written. Main thread.
Result<void> render_png(const Scene& scene, const Theme& theme, const std::filesystem::path& path);

// The font families of scenes, for SvgOptions.
const char* scene_font_families();

}  // namespace orrery
