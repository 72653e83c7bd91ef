// How Qt's own widgets look in each theme: one palette, one style sheet, icons drawn in the theme's colours.
#pragma once

#include <QColor>
#include <QIcon>

#include "views/theme.h"

namespace orrery {

QColor to_qcolor(Rgba colour);

// The theme as the window draws it: with type and lines of the size that the user chose. Valid for the program's
// lifetime; equal arguments and type scale give the same object. UI thread.
const Theme& window_theme(ThemeKind kind);
// Percent of the theme's own sizes, 50 to 300.
void set_type_scale(int percent);

// Sets the application's style, palette and font. UI thread.
void apply_appearance(const Theme& theme);

enum class IconKind { kPlay, kPause, kStep, kStop, kOpen, kBack, kForward, kFollow };
QIcon make_icon(IconKind kind, const Theme& theme);

}  // namespace orrery
