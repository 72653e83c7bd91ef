// Scenes as pictures without a display: QPainter on Qt's offscreen platform.
#pragma once

#include <filesystem>
#include <memory>

#include "kernels/base/result.h"
#include "views/scene.h"
#include "views/text_metrics.h"
#include "views/theme.h"

class QPainter;

namespace orrery {

// UI thread, or the main thread of a program without a window.
void paint_scene(QPainter& painter, const Scene& scene, const Theme& theme);

}  // namespace orrery
