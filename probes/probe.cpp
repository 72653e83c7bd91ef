#include "probes/probe.h"

namespace orrery {

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kLight:
      return "light";
    case Level::kStandard:
      return "standard";
    case Level::kFull:
      return "full";
    case Level::kRecomputed:
      return "recomputed";
  }
  return "";
}

std::optional<Level> parse_level(std::string_view name) {
  for (const Level level : {Level::kLight, Level::kStandard, Level::kFull}) {
    if (name == level_name(level)) return level;
  }
  return std::nullopt;
}

std::string_view axis_name(Axis axis) {
  switch (axis) {
    case Axis::kStep:
      return "t";
    case Axis::kLayer:
      return "layer";
    case Axis::kIteration:
      return "iteration";
    case Axis::kHead:
      return "head";
    case Axis::kKey:
      return "key";
    case Axis::kKeyBlock:
      return "block of 64 keys";
    case Axis::kTop:
      return "top";
    case Axis::kField:
      return "field";
    case Axis::kComponent:
      return "component";
    case Axis::kTap:
      return "tap";
    case Axis::kChosen:
      return "chosen expert";
  }
  return "";
}

}  // namespace orrery
