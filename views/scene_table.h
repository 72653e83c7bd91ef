// SceneTable: what a Scene shows, as columns of numbers and names: to sort, to copy, to write into files, to listen to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "views/scene.h"

namespace orrery {

struct SceneColumn {
  std::string name = {};                // "layer", "block mass"
  std::string unit = {};                // "nats"; may be empty
  std::vector<double> numbers = {};     // NaN: missing
  std::vector<std::string> texts = {};  // of a column of names, in place of numbers

  bool is_text() const { return numbers.empty() && !texts.empty(); }
  std::string header() const;             // "entropy (nats)"
  std::string text_at(size_t row) const;  // number_text() of numbers
};

struct SceneTable {
  std::string name = {};                  // "block mass", "keys and values and 3 more by step"
  std::string probe = {};                 // "attention.mass"; empty where columns are of several
  std::vector<SceneColumn> columns = {};  // all of n_rows()
  // Of a map, which has a row per cell, row major: its shape. 0 x 0 for series.
  int64_t map_rows = 0;
  int64_t map_cols = 0;

  size_t n_rows() const;
  bool is_map() const { return map_rows > 0 && map_cols > 0; }
};

// A table per map (a row per cell: where it lies by both axes, then its value), and a table for neighbouring series
// that have the same x (a row per x, a column per series); those of panels follow, named "panel: name". In the order of
// the scene; what the scene draws without numbers (text, frames) is not in them. Pure.
std::vector<SceneTable> scene_tables(const Scene& scene);

// The shortest text that reads back to the same number; to the same float where it came from one. "" for NaN.
std::string number_text(double value);

}  // namespace orrery
