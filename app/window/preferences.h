// Preferences: what the user wants of every window and every run; kept in QSettings.
#pragma once

#include <cstdint>
#include <string>

#include "probes/probe.h"
#include "views/theme.h"

namespace orrery {

struct Preferences {
  ThemeKind theme = ThemeKind::kLight;
  int type_percent = 100;          // of the theme's type sizes, 75 to 200
  Level level = Level::kStandard;  // of the next runs
  bool record = true;              // the next runs, unless told otherwise
  // What the window holds of a run's measurements and maps: with 448 it stays under 1 GB, OpenGL in software included.
  int history_mib = 448;
  int sessions_gib = 8;  // what all unnamed sessions take at most
  std::string backend;   // a BackendKind; empty: automatic
  bool operator==(const Preferences&) const = default;

  // Values that cannot be are replaced by the usual ones. (How tokens are drawn is kept by SamplerForm.)
  static Preferences load();
  void save() const;
};

}  // namespace orrery
