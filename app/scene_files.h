// What a scene shows, as files of numbers: a table as CSV, a map or series as an NPY array.
#pragma once

#include <string>
#include <vector>

#include "kernels/base/result.h"
#include "views/scene_table.h"

namespace orrery {

// A header of names with units, then a line per row as RFC 4180 says; a missing number is empty. Numbers read back to
// the same bits.
std::string table_csv(const SceneTable& table);
Result<void> write_table_csv(const SceneTable& table, const std::string& path);

// Of a map: its values, float32 [rows, columns], missing ones NaN. Of series: float64 [points, 1 + series], x first;
// names are left out.
Result<void> write_table_npy(const SceneTable& table, const std::string& path);

// A file per table, CSV or NPY by the ending of `path`: the path itself where there is one table, else
// "attention-1-heads.csv", "attention-2-block-mass.csv" beside it. Returns the files. kUnsupported where the scene has
// no numbers, kIo.
Result<std::vector<std::string>> write_scene_tables(const Scene& scene, const std::string& path);

}  // namespace orrery
