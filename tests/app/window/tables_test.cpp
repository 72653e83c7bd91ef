// Tables and exports of what a view shows, with real keys and clicks.
#include <QApplication>
#include <QCheckBox>
#include <QClipboard>
#include <QHeaderView>
#include <QLabel>
#include <fstream>
#include <nlohmann/json.hpp>

#include "app/window/table_window.h"
#include "tests/app/window/frame_fixture.h"
#include "views/json_renderer.h"
#include "views/registry.h"

namespace orrery {
namespace {

using testing::FrameTest;
using testing::run_events_for;
using testing::wait_until;

class TablesTest : public FrameTest {};

TEST_F(TablesTest, ShowsTheViewUnderThePointerAsATableThatSortsCopiesAndFollows) {
  open_model();
  finish_run(20);
  ImGuiCanvas* canvas = window_->canvas("attention");
  ASSERT_TRUE(wait_until([&] { return !scene_tables(canvas->scene()).empty(); }));
  int x = 30;  // a pointer that was there before the window was enters it by moving
  ASSERT_TRUE(wait_until([&] {
    QTest::mouseMove(canvas, QPoint(++x % 60, 60));
    return canvas->underMouse();
  }));
  key(Qt::Key_T, Qt::ControlModifier);
  auto* table = window_->findChild<TableWindow*>();
  ASSERT_NE(table, nullptr);
  ASSERT_TRUE(wait_until([&] { return table->isVisible(); }));
  EXPECT_TRUE(table->windowTitle().startsWith("Attention as a table")) << table->windowTitle().toStdString();

  const auto same_as_shown = [&] {
    for (const SceneTable& one : scene_tables(canvas->scene())) {
      if (one.name != table->model().table().name) continue;
      bool same = one.n_rows() == table->model().table().n_rows();
      for (size_t c = 0; same && c < one.columns.size(); ++c) {
        for (size_t r = 0; r < one.n_rows(); ++r) {
          same = same && one.columns[c].text_at(r) == table->model().table().columns[c].text_at(r);
        }
      }
      return same;
    }
    return false;
  };
  EXPECT_TRUE(wait_until(same_as_shown)) << "the numbers are the view's";

  // A header that is clicked sorts, numbers as numbers.
  const int last = table->model().columnCount() - 1;
  QHeaderView* header = table->table().horizontalHeader();
  table->table().scrollTo(table->table().model()->index(0, last));
  const auto click_header = [&] {
    QTest::mouseClick(header->viewport(), Qt::LeftButton, {},
                      QPoint(header->sectionViewportPosition(last) + 10, header->height() / 2));
  };
  click_header();
  const QAbstractItemModel& shown = *table->table().model();
  const auto is_sorted = [&](Qt::SortOrder order) {
    for (int row = 1; row < shown.rowCount(); ++row) {
      const double a = shown.index(row - 1, last).data(Qt::UserRole).toDouble();
      const double b = shown.index(row, last).data(Qt::UserRole).toDouble();
      if (std::isnan(b)) continue;  // missing comes last
      if (order == Qt::AscendingOrder ? !(a <= b) : !(a >= b)) return false;
    }
    return true;
  };
  EXPECT_TRUE(is_sorted(header->sortIndicatorOrder()));
  const Qt::SortOrder first_order = header->sortIndicatorOrder();
  click_header();
  EXPECT_NE(header->sortIndicatorOrder(), first_order);
  EXPECT_TRUE(is_sorted(header->sortIndicatorOrder()));

  // Copies what is selected, as it stands on the screen, with headers where asked for.
  QTest::keyClick(&table->table(), Qt::Key_A, Qt::ControlModifier);
  QTest::keyClick(&table->table(), Qt::Key_C, Qt::ControlModifier | Qt::ShiftModifier);
  const QStringList lines = QApplication::clipboard()->text().split('\n', Qt::SkipEmptyParts);
  ASSERT_EQ(lines.size(), shown.rowCount() + 1);
  EXPECT_EQ(lines[0].split('\t').back(), shown.headerData(last, Qt::Horizontal, Qt::DisplayRole).toString());
  EXPECT_EQ(lines[1].split('\t').front(), shown.index(0, 0).data().toString());
  EXPECT_EQ(lines[1].split('\t').size(), last + 1);

  // It can be listened to.
  EXPECT_FALSE(table->table().accessibleName().isEmpty());
  EXPECT_TRUE(shown.index(0, last)
                  .data(Qt::AccessibleTextRole)
                  .toString()
                  .contains(shown.headerData(last, Qt::Horizontal, Qt::DisplayRole).toString().section(' ', 0, 0)));

  // And it follows the view, or stays.
  const QString before = shown.index(0, last).data().toString();
  controller().apply(Select{.step = 4});
  EXPECT_TRUE(wait_until(same_as_shown)) << "another step, other numbers";
  table->findChild<QCheckBox*>("table_follow")->setChecked(false);
  const std::string kept = table->model().table().columns.back().text_at(0);
  controller().apply(Select{.step = 15});
  run_events_for(600);
  EXPECT_EQ(table->model().table().columns.back().text_at(0), kept);
}

TEST_F(TablesTest, EveryViewHasATableInTheMenuAndOneOfAnotherModelSaysThatThereIsNothing) {
  open_model();
  finish_run(10);
  for (const View* view : all_views()) {
    TableWindow* table = window_->show_table(*view);
    ASSERT_NE(table, nullptr) << view->name();
    const bool tiles_others = view->name() == "window";
    EXPECT_EQ(action("Table: " + QString::fromStdString(std::string(view->title()))) == nullptr, tiles_others)
        << view->name();
    if (view->unavailable(controller().history().info())) {
      EXPECT_EQ(table->model().rowCount(), 0) << view->name();
      EXPECT_TRUE(table->findChild<QLabel*>("table_about")->text().contains("no numbers")) << view->name();
    } else if (view->name() == "cache" || view->name() == "output") {
      EXPECT_GT(table->model().rowCount(), 0) << view->name();
    }
    table->close();
  }
}

TEST_F(TablesTest, AViewWithoutRoomForItsNumbersHasThemInItsTable) {
  open_model();
  finish_run(10);
  find<QDockWidget>("dock_attention")->setFloating(true);
  find<QDockWidget>("dock_attention")->resize(130, 70);
  ImGuiCanvas* canvas = window_->canvas("attention");
  ASSERT_TRUE(wait_until([&] { return canvas->height() < 100 && scene_tables(canvas->scene()).empty(); }));
  TableWindow* table = window_->show_table(**find_view("attention"));
  EXPECT_GT(table->model().rowCount(), 0);
  EXPECT_TRUE(table->findChild<QLabel*>("table_about")->text().contains("Laid out larger"));
}

TEST_F(TablesTest, ExportsWhatAViewShowsInEveryKindOfFile) {
  open_model();
  finish_run(12);
  const View& view = **find_view("cache");
  for (const char* ending : {"png", "svg", "csv", "npy", "json"}) {
    ASSERT_TRUE(window_->export_view_to(view, QString::fromStdString(file(std::string("out.") + ending))))
        << window_->error_text().toStdString();
  }
  EXPECT_FALSE(QImage(QString::fromStdString(file("out.png"))).isNull());
  const auto read = [&](const std::string& name) {
    std::ifstream in(file(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_NE(read("out.svg").find("cache.bytes"), std::string::npos) << "the provenance line";
  const auto json = nlohmann::json::parse(read("out.json"));
  EXPECT_EQ(json, nlohmann::json::parse(render_json(window_->canvas("cache")->scene()).dump())) << "what is drawn";
  const std::vector<SceneTable> tables = scene_tables(window_->canvas("cache")->scene());
  ASSERT_GT(tables.size(), 1u);
  int n_csv = 0;
  int n_npy = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    n_csv += entry.path().extension() == ".csv" ? 1 : 0;
    n_npy += entry.path().extension() == ".npy" ? 1 : 0;
  }
  EXPECT_EQ(n_csv, static_cast<int>(tables.size())) << "a file per chart";
  EXPECT_EQ(n_npy, static_cast<int>(tables.size()));
  EXPECT_FALSE(window_->export_view_to(view, QString::fromStdString(file("out.bmp"))));
  EXPECT_TRUE(window_->error_text().contains(".svg")) << "says what there is";
  EXPECT_FALSE(window_->export_view_to(view, QString::fromStdString(file("no/out.csv"))));
}

}  // namespace
}  // namespace orrery
