// A scene's numbers as tables: by value, and every number that its JSON has.
#include "views/scene_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/registry.h"
#include "views/text_metrics.h"

namespace orrery {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(SceneTable, WritesAMapOutCellByCellWithItsPlaces) {
  Scene scene;
  const int layers = scene.add_axis({.name = "layer", .ids = {3, 7}, .labels = {"3 attention", "7 attention"}});
  const int keys = scene.add_axis({.name = "key", .unit = "token", .begin = 128, .end = 300, .per_cell = 64});
  scene.add(Tile{.name = "block mass",
                 .rows = 2,
                 .cols = 3,
                 .values = {0.5f, 0.25f, kNaN, 1, 0, 0.1f},
                 .row_axis = layers,
                 .col_axis = keys,
                 .probe = "attention.mass",
                 .unit = "weight"});
  const std::vector<SceneTable> tables = scene_tables(scene);
  ASSERT_EQ(tables.size(), 1u);
  const SceneTable& table = tables[0];
  EXPECT_EQ(table.name, "block mass");
  EXPECT_EQ(table.probe, "attention.mass");
  EXPECT_EQ(table.map_rows, 2);
  EXPECT_EQ(table.map_cols, 3);
  ASSERT_EQ(table.columns.size(), 5u);
  EXPECT_EQ(table.columns[0].header(), "layer");
  EXPECT_EQ(table.columns[1].header(), "layer name");
  EXPECT_EQ(table.columns[2].header(), "key (token)");
  EXPECT_EQ(table.columns[3].header(), "key, last (token)");
  EXPECT_EQ(table.columns[4].header(), "block mass (weight)");
  EXPECT_EQ(table.columns[0].numbers, (std::vector<double>{3, 3, 3, 7, 7, 7}));
  EXPECT_EQ(table.columns[1].texts[3], "7 attention");
  EXPECT_EQ(table.columns[2].numbers, (std::vector<double>{128, 192, 256, 128, 192, 256}));
  EXPECT_EQ(table.columns[3].numbers, (std::vector<double>{191, 255, 299, 191, 255, 299})) << "the last is cut";
  EXPECT_EQ(table.columns[4].text_at(5), "0.1");
  EXPECT_EQ(table.columns[4].text_at(2), "") << "missing";
  EXPECT_EQ(table.n_rows(), 6u);
}

TEST(SceneTable, PutsSeriesOfTheSameXBesideEachOther) {
  Scene scene;
  scene.series.push_back({.name = "keys and values",
                          .probe = "cache.bytes",
                          .unit = "bytes",
                          .x_name = "step",
                          .x = {0, 1},
                          .y = {1024, 2048}});
  scene.series.push_back({.name = "recurrent state",
                          .probe = "cache.bytes",
                          .unit = "bytes",
                          .x_name = "step",
                          .x = {0, 1},
                          .y = {512, std::nan("")}});
  scene.series.push_back({.name = "candidates",
                          .probe = "output.top",
                          .unit = "probability",
                          .x_name = "token id",
                          .x = {9, 4},
                          .y = {0.5, 0.25},
                          .labels = {"a", "b"}});
  scene.series.push_back({.name = "nothing"});
  const std::vector<SceneTable> tables = scene_tables(scene);
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_EQ(tables[0].name, "keys and values and 1 more by step");
  ASSERT_EQ(tables[0].columns.size(), 3u);
  EXPECT_EQ(tables[0].columns[1].numbers, (std::vector<double>{1024, 2048}));
  EXPECT_EQ(tables[0].columns[2].header(), "recurrent state (bytes)");
  EXPECT_EQ(tables[0].columns[2].text_at(1), "");
  EXPECT_EQ(tables[0].map_rows, 0);
  EXPECT_EQ(tables[1].columns[1].texts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(tables[1].columns[2].text_at(0), "0.5");
}

// Every view: each tile's cells and each series' values are in the tables, in the order of the JSON, bit for bit.
TEST(SceneTable, HasEveryNumberOfEveryView) {
  const FrameHistory history = HybridRun{}.history(90);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const ViewState state = at(70);
  int n_maps = 0;
  for (const View* view : all_views()) {
    const Scene scene = view->scene({history, state, {1100, 700}, metrics});
    const std::vector<SceneTable> tables = scene_tables(scene);
    size_t at_table = 0;
    for (const Item& item : scene.items) {
      const auto* tile = std::get_if<Tile>(&item);
      if (tile == nullptr || tile->rows == 0 || tile->cols == 0) continue;
      ASSERT_LT(at_table, tables.size()) << view->name();
      const std::vector<double>& numbers = tables[at_table].columns.back().numbers;
      ASSERT_EQ(numbers.size(), tile->values.size()) << view->name();
      for (size_t i = 0; i < numbers.size(); ++i) {
        const auto value = static_cast<float>(numbers[i]);
        EXPECT_TRUE(value == tile->values[i] || (std::isnan(value) && std::isnan(tile->values[i])));
      }
      ++at_table;
      ++n_maps;
    }
    size_t n_columns = 0;
    for (const Series& series : scene.series) n_columns += series.x.empty() ? 0 : 1;
    for (; at_table < tables.size() && scene.panels.empty(); ++at_table) {
      EXPECT_FALSE(tables[at_table].is_map());
      for (const SceneColumn& column : tables[at_table].columns) {
        EXPECT_EQ(std::max(column.numbers.size(), column.texts.size()), tables[at_table].n_rows()) << view->name();
        n_columns -= column.name.ends_with(" name") || &column == tables[at_table].columns.data() ? 0 : 1;
      }
    }
    if (scene.panels.empty()) {
      EXPECT_EQ(n_columns, 0u) << view->name() << ": a column per series";
    }
  }
  EXPECT_GT(n_maps, 8);
}

TEST(SceneTable, NumbersReadBackToTheSameBits) {
  EXPECT_EQ(number_text(static_cast<double>(0.1f)), "0.1") << "a float is as short as a float can be";
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(1048576), "1048576");
  EXPECT_EQ(number_text(-3), "-3");
  EXPECT_EQ(number_text(std::nan("")), "");
  for (const float value : {1e-30f, 0.333333343f, 3.4e38f, -7.25e-5f}) {
    EXPECT_EQ(std::stof(number_text(static_cast<double>(value))), value);
  }
}

}  // namespace
}  // namespace orrery
