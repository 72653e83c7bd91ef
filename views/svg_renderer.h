// Scene -> SVG. Text stays text; maps are embedded as PNG images.
#pragma once

#include <string>

#include "views/scene.h"
#include "views/text_metrics.h"

namespace orrery {

struct SvgOptions {
  // Matches the metrics the scene was laid out with.
  std::string font_family = "DejaVu Sans, Noto Sans, sans-serif";
};

// A whole SVG 1.1 document. `metrics` are those the scene was laid out with (for baselines).
std::string render_svg(const Scene& scene, const Theme& theme, const TextMetrics& metrics,
                       const SvgOptions& options = {});

}  // namespace orrery
