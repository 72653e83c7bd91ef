#include "views/scene_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace orrery {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Where the cells of a map lie along one axis; each place is repeated as the map is written out.
class CellPlaces {
 public:
  CellPlaces(const Scene& scene, int axis, const char* fallback)
      : axis_(axis >= 0 && std::cmp_less(axis, scene.axes.size()) ? &scene.axes[static_cast<size_t>(axis)] : nullptr),
        fallback_(fallback) {}

  // The columns of the axis for cells 0 .. n - 1, empty of rows.
  void open(std::vector<SceneColumn>& columns, int n) {
    first_ = columns.size();
    columns.push_back(
        {.name = axis_ != nullptr ? axis_->name : fallback_, .unit = axis_ != nullptr ? axis_->unit : ""});
    if (has_span()) columns.push_back({.name = axis_->name + ", last", .unit = axis_->unit});
    if (has_labels(n)) columns.push_back({.name = axis_->name + " name"});
    labelled_ = has_labels(n);
  }
  void append(std::vector<SceneColumn>& columns, int cell) const {
    size_t at = first_;
    const int64_t value = axis_ != nullptr ? axis_->value_of(cell) : cell;
    columns[at++].numbers.push_back(static_cast<double>(value));
    if (has_span()) {
      const int64_t last = std::min(value + axis_->per_cell, std::max(axis_->end, value + 1)) - 1;
      columns[at++].numbers.push_back(static_cast<double>(last));
    }
    if (labelled_) columns[at].texts.push_back(axis_->labels[static_cast<size_t>(cell)]);
  }

 private:
  bool has_span() const { return axis_ != nullptr && axis_->ids.empty() && axis_->per_cell > 1; }
  bool has_labels(int n) const { return axis_ != nullptr && std::cmp_equal(axis_->labels.size(), n); }

  const SceneAxis* axis_;
  const char* fallback_;
  size_t first_ = 0;
  bool labelled_ = false;
};

SceneTable table_of(const Scene& scene, const Tile& tile) {
  SceneTable table{.name = tile.name, .probe = tile.probe, .map_rows = tile.rows, .map_cols = tile.cols};
  CellPlaces rows(scene, tile.row_axis, "row");
  CellPlaces cols(scene, tile.col_axis, "column");
  rows.open(table.columns, tile.rows);
  cols.open(table.columns, tile.cols);
  SceneColumn value{.name = tile.name.empty() ? "value" : tile.name, .unit = tile.unit};
  value.numbers.reserve(tile.values.size());
  for (int row = 0; row < tile.rows; ++row) {
    for (int col = 0; col < tile.cols; ++col) {
      rows.append(table.columns, row);
      cols.append(table.columns, col);
      const size_t cell = static_cast<size_t>(row) * static_cast<size_t>(tile.cols) + static_cast<size_t>(col);
      value.numbers.push_back(static_cast<double>(tile.values[cell]));
    }
  }
  table.columns.push_back(std::move(value));
  return table;
}

bool go_together(const Series& a, const Series& b) {
  return a.x_name == b.x_name && a.x == b.x && a.labels == b.labels;
}

SceneTable table_of(const std::vector<const Series*>& series) {
  const Series& first = *series.front();
  const size_t n = first.x.size();
  const std::string more =
      series.size() > 1 ? " and " + std::to_string(series.size() - 1) + " more by " + first.x_name : "";
  SceneTable table{.name = first.name + more, .probe = first.probe};
  table.columns.push_back({.name = first.x_name.empty() ? "x" : first.x_name, .numbers = first.x});
  if (!first.labels.empty()) {
    SceneColumn names{.name = table.columns.front().name + " name", .texts = first.labels};
    names.texts.resize(n);
    table.columns.push_back(std::move(names));
  }
  for (const Series* one : series) {
    if (one->probe != table.probe) table.probe.clear();
    SceneColumn column{.name = one->name, .unit = one->unit, .numbers = one->y};
    column.numbers.resize(n, kMissing);
    table.columns.push_back(std::move(column));
  }
  return table;
}

void append_tables(const Scene& scene, const std::string& prefix, std::vector<SceneTable>& tables) {
  const size_t begin = tables.size();
  for (const Item& item : scene.items) {
    const auto* tile = std::get_if<Tile>(&item);
    if (tile != nullptr && tile->rows > 0 && tile->cols > 0) tables.push_back(table_of(scene, *tile));
  }
  std::vector<const Series*> together;
  const auto close = [&] {
    if (!together.empty()) tables.push_back(table_of(together));
    together.clear();
  };
  for (const Series& series : scene.series) {
    if (series.x.empty()) continue;
    if (!together.empty() && !go_together(*together.front(), series)) close();
    together.push_back(&series);
  }
  close();
  for (size_t i = begin; i < tables.size(); ++i) tables[i].name = prefix + tables[i].name;
  for (const ScenePanel& panel : scene.panels) append_tables(*panel.scene, prefix + panel.name + ": ", tables);
}

template <typename T>
std::string shortest(T value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc() ? std::string(buffer, end) : std::string();
}

}  // namespace

std::string number_text(double value) {
  if (std::isnan(value)) return {};
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  // Whole numbers are written out: 1048576, not 1.048576e+06.
  if (std::abs(value) < 9e15 && value == std::floor(value)) return std::to_string(static_cast<int64_t>(value));
  const auto narrow = static_cast<float>(value);
  return static_cast<double>(narrow) == value ? shortest(narrow) : shortest(value);
}

std::string SceneColumn::header() const { return unit.empty() ? name : name + " (" + unit + ")"; }

std::string SceneColumn::text_at(size_t row) const {
  if (row < texts.size()) return texts[row];
  return row < numbers.size() ? number_text(numbers[row]) : std::string();
}

size_t SceneTable::n_rows() const {
  return columns.empty() ? 0 : std::max(columns.front().numbers.size(), columns.front().texts.size());
}

std::vector<SceneTable> scene_tables(const Scene& scene) {
  std::vector<SceneTable> tables;
  append_tables(scene, {}, tables);
  return tables;
}

}  // namespace orrery
