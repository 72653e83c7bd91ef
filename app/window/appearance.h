// How Qt's own widgets look in each theme: one palette, one style sheet, icons drawn in the theme's colours.
#pragma once

#include <QColor>
#include <QIcon>

#include "views/theme.h"

namespace orrery {

QColor to_qcolor(Rgba colour);

// Sets the application's style, palette and font. UI thread.
void apply_appearance(const Theme& theme);

enum class IconKind { kPlay, kPause, kStep, kStop, kOpen, kBack, kForward, kFollow };
QIcon make_icon(IconKind kind, const Theme& theme);

}  // namespace orrery
