// What is around the views, with real keys and clicks: tables, exports, notes with undo, the session's runs, reading a
// text, layouts, preferences, the list of keys.
#include <QApplication>
#include <QCheckBox>
#include <QClipboard>
#include <QComboBox>
#include <QDockWidget>
#include <QHeaderView>
#include <QInputDialog>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QRadioButton>
#include <QSpinBox>
#include <QTableView>
#include <QTableWidget>
#include <QTest>
#include <QTimer>
#include <QTreeWidget>
#include <QUndoStack>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "app/window/appearance.h"
#include "app/window/command_palette.h"
#include "app/window/layouts.h"
#include "app/window/preferences_dialog.h"
#include "app/window/table_window.h"
#include "sessions/session_reader.h"
#include "tests/app/window/window_fixture.h"
#include "tests/sessions/make_session.h"
#include "views/json_renderer.h"
#include "views/registry.h"

namespace orrery {
namespace {

using testing::model_path;
using testing::run_events_for;
using testing::takes_ms;
using testing::wait_until;
using Mode = SessionController::Mode;

class FrameTest : public testing::WindowTest {
 protected:
  void TearDown() override {
    window_.reset();
    set_type_scale(100);
    WindowTest::TearDown();
  }
  void open(const std::string& path) {
    window_ = std::make_unique<MainWindow>(WindowOptions{.file = path, .prompt = {}, .generate = false, .threads = 1});
    window_->show();
    QApplication::setActiveWindow(window_.get());
  }
  SessionController& controller() { return window_->controller(); }
  NoteBook& notes() { return controller().notes(); }

  void open_model(const char* name = "tiny-text.q8_0.gguf") {
    open(model_path(name));
    ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
    run_events_for(50);
  }
  bool ended() {
    return wait_until([this] { return !controller().running() && !controller().waiting_for_run(); });
  }
  void generate(int64_t n, int delay_ms = 0) {
    GenerateRequest request;
    request.text = "Once upon a time there was a";
    request.n_new_tokens = n;
    request.sampler.temperature = 0;
    if (delay_ms > 0) request.after_token = takes_ms(delay_ms);
    const uint64_t version = controller().history().version();
    controller().generate(std::move(request));
    ASSERT_TRUE(
        wait_until([&] { return controller().history().version() != version && controller().mode() == Mode::kLive; }));
  }
  void finish_run(int64_t n) {
    generate(n);
    ASSERT_TRUE(ended()) << window_->error_text().toStdString();
    run_events_for(150);
  }
  int64_t step() { return resolve(controller().history(), controller().view()).step; }

  void key(Qt::Key key, Qt::KeyboardModifiers modifiers = Qt::NoModifier) {
    QApplication::setActiveWindow(window_.get());
    window_->setFocus();
    QTest::keyClick(window_.get(), key, modifiers);
  }
  template <typename Widget>
  Widget* find(const char* name) {
    return window_->findChild<Widget*>(QLatin1String(name));
  }
  QAction* action(const QString& text) {
    for (QAction* one : window_->findChildren<QAction*>()) {
      if (one->text().remove(QLatin1Char('&')).startsWith(text)) return one;
    }
    return nullptr;
  }
  bool visible(const char* dock) { return find<QDockWidget>((std::string("dock_") + dock).c_str())->isVisible(); }
  // Answers the dialog that the next doings open; dialogs run event loops of their own.
  void when_dialog(const char* name, const std::function<void(QDialog*)>& answer) {
    auto* clock = new QTimer(window_.get());
    auto n_looks = std::make_shared<int>(0);
    QObject::connect(clock, &QTimer::timeout, clock, [this, clock, name, answer, n_looks] {
      auto* dialog = window_->findChild<QDialog*>(QLatin1String(name));
      const bool late = ++*n_looks > 300;
      if ((dialog == nullptr || !dialog->isVisible()) && !late) return;
      clock->stop();
      clock->deleteLater();
      if (dialog == nullptr || !dialog->isVisible()) {
        ADD_FAILURE() << "no dialog " << name;
        return;
      }
      QApplication::setActiveWindow(dialog);  // there is no window manager
      answer(dialog);
      // One that is still open would hold up the test for good.
      QTimer::singleShot(8000, dialog, [dialog, name] {
        if (!dialog->isVisible()) return;
        ADD_FAILURE() << name << " was not closed by its answer";
        dialog->reject();
      });
    });
    clock->start(20);
  }
  void write_note(const char* text) {
    when_dialog("note_dialog", [text](QDialog* dialog) {
      auto* edit = dialog->findChild<QPlainTextEdit*>(QStringLiteral("note_text"));
      QTest::keyClicks(edit, QLatin1String(text));
      QTest::keyClick(edit, Qt::Key_Return, Qt::ControlModifier);
    });
    key(Qt::Key_N);
  }
  std::vector<Note> stored_notes(int64_t run = 1) {
    EXPECT_TRUE(wait_until([this] { return !notes().busy(); }));
    const auto reader = SessionReader::open(controller().session_path());
    EXPECT_TRUE(reader) << reader.error().message;
    return (*reader)->notes(run).value();
  }

  std::unique_ptr<MainWindow> window_;
};

// --- tables ---

TEST_F(FrameTest, ShowsTheViewUnderThePointerAsATableThatSortsCopiesAndFollows) {
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

TEST_F(FrameTest, EveryViewHasATableInTheMenuAndOneOfAnotherModelSaysThatThereIsNothing) {
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

TEST_F(FrameTest, AViewWithoutRoomForItsNumbersHasThemInItsTable) {
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

TEST_F(FrameTest, ExportsWhatAViewShowsInEveryKindOfFile) {
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

// --- notes ---

TEST_F(FrameTest, NotesAreWrittenUndoneEditedMarkedAndFoundAgain) {
  open_model();
  finish_run(24);
  key(Qt::Key_Left);
  key(Qt::Key_Left);
  key(Qt::Key_Down);
  const int64_t noted = step();
  const int32_t layer = controller().view().selected.layer;
  write_note("a <b>word</b> comes back");
  ASSERT_EQ(notes().notes().size(), 1u);
  auto stored = stored_notes();
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(stored[0].text, "a <b>word</b> comes back");
  EXPECT_EQ(stored[0].step, noted);
  EXPECT_EQ(find<QTreeWidget>("notes")->topLevelItemCount(), 1);

  key(Qt::Key_Z, Qt::ControlModifier);
  EXPECT_TRUE(stored_notes().empty()) << "undone, in the file too";
  EXPECT_EQ(find<QTreeWidget>("notes")->topLevelItemCount(), 0);
  key(Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
  ASSERT_EQ(stored_notes().size(), 1u) << "redone";
  EXPECT_EQ(stored_notes()[0].id, stored[0].id) << "with its id";
  EXPECT_EQ(stored_notes()[0].created_ns, stored[0].created_ns);

  // Edited in the dock, and back.
  find<QDockWidget>("dock_notes")->raise();
  run_events_for(50);
  auto* tree = find<QTreeWidget>("notes");
  tree->setCurrentItem(tree->topLevelItem(0));
  when_dialog("note_dialog", [](QDialog* dialog) {
    auto* edit = dialog->findChild<QPlainTextEdit*>(QStringLiteral("note_text"));
    edit->selectAll();
    QTest::keyClicks(edit, "seen again");
    QTest::keyClick(edit, Qt::Key_Return, Qt::ControlModifier);
  });
  QTest::mouseClick(find<QPushButton>("note_edit"), Qt::LeftButton);
  EXPECT_EQ(stored_notes()[0].text, "seen again");
  key(Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(stored_notes()[0].text, "a <b>word</b> comes back");

  // A click on the timeline's mark looks again as then.
  controller().apply(Select{.step = 1, .layer = 0, .head = 0, .key = 0});
  ImGuiCanvas* timeline = window_->canvas("timeline");
  const auto mark = [&]() -> const HitRegion* {
    for (const HitRegion& region : timeline->scene().regions) {
      if (region.click && std::holds_alternative<RestoreView>(*region.click)) return &region;
    }
    return nullptr;
  };
  ASSERT_TRUE(wait_until([&] { return mark() != nullptr; }));
  const Point at = mark()->rect.centre();
  QTest::mouseClick(timeline, Qt::LeftButton, {}, QPoint(static_cast<int>(at.x), static_cast<int>(at.y)));
  EXPECT_EQ(step(), noted);
  EXPECT_EQ(controller().view().selected.layer, layer);

  // Removed with the key, brought back, and still there when the session is opened again.
  tree->setCurrentItem(tree->topLevelItem(0));
  QTest::keyClick(tree, Qt::Key_Delete);
  EXPECT_TRUE(stored_notes().empty());
  key(Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(stored_notes().size(), 1u);
  const std::string path = controller().session_path();
  window_.reset();
  open(path);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }));
  ASSERT_EQ(notes().notes().size(), 1u);
  EXPECT_FALSE(notes().undo_stack().canUndo()) << "undo is of this window";
  run_events_for(100);
  find<QDockWidget>("dock_notes")->raise();
  run_events_for(100);
  tree = find<QTreeWidget>("notes");
  QTest::mouseClick(tree->viewport(), Qt::LeftButton, {}, tree->visualItemRect(tree->topLevelItem(0)).center());
  EXPECT_EQ(step(), noted);
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(FrameTest, NotesGoIntoARunThatIsBeingRecorded) {
  open_model();
  generate(400, 20);
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() > 12; }));
  write_note("while it writes");
  ASSERT_EQ(stored_notes().size(), 1u);
  EXPECT_TRUE(controller().running());
  controller().save_as(file("named.orrery"));
  controller().stop();
  ASSERT_TRUE(ended());
  ASSERT_TRUE(wait_until([this] { return controller().session_path() == file("named.orrery"); }));
  key(Qt::Key_Left);
  write_note("after it was named");
  EXPECT_EQ(stored_notes().size(), 2u);
  EXPECT_FALSE(std::filesystem::exists(file("named.orrery") + "-wal")) << "one file once closed";
}

TEST_F(FrameTest, SaysWhyANoteCannotBeWritten) {
  open_model();
  GenerateRequest request;
  request.text = "A";
  request.n_new_tokens = 5;
  request.record = false;
  controller().generate(std::move(request));
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() > 2; }));
  ASSERT_TRUE(ended());
  key(Qt::Key_N);
  EXPECT_TRUE(window_->error_text().contains("not recorded")) << window_->error_text().toStdString();
}

// --- runs ---

TEST_F(FrameTest, ListsTheRunsOfASessionAsATreeAndOpensOne) {
  const std::string path = file("runs.orrery");
  testing::record_run(path, testing::llama_like(2, 2), Level::kStandard, 4, 12, 1'000'000);
  {
    auto store = SessionStore::create_or_open(path);
    ASSERT_TRUE(store) << store.error().message;
    for (const int64_t parent : {1, 1, 2}) {
      RunRecord record = testing::make_record(testing::llama_like(2, 2));
      record.parent = parent;
      record.prompt.text = "branch of " + std::to_string(parent);
      ASSERT_TRUE((*store)->begin_run(record));
    }
    ASSERT_TRUE((*store)->close());
  }
  open(path);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }))
      << window_->error_text().toStdString();
  auto* tree = find<QTreeWidget>("runs");
  ASSERT_TRUE(wait_until([&] { return tree->topLevelItemCount() == 1; }));
  QTreeWidgetItem* first = tree->topLevelItem(0);
  EXPECT_EQ(first->text(1), "12") << "tokens";
  EXPECT_EQ(first->text(3), "test model");
  ASSERT_EQ(first->childCount(), 2);
  EXPECT_EQ(first->child(0)->text(2), "branch of 1");
  ASSERT_EQ(first->child(0)->childCount(), 1);
  EXPECT_EQ(first->child(0)->child(0)->text(0), "4") << "run 4 is a branch of run 2";
  EXPECT_EQ(controller().history().info().run, 4) << "the last one is shown";
  find<QDockWidget>("dock_runs")->raise();
  run_events_for(100);
  QTest::mouseClick(tree->viewport(), Qt::LeftButton, {}, tree->visualItemRect(first).center());
  EXPECT_TRUE(wait_until([this] { return controller().history().info().run == 1; }));
  EXPECT_EQ(controller().history().n_steps(), 12);
  ASSERT_TRUE(wait_until([&] { return tree->topLevelItem(0)->font(0).bold(); })) << "which one is shown";
}

// --- reading a text ---

TEST_F(FrameTest, ReadsATextBeforeWhileAndAfterItWrites) {
  open_model();
  const auto read = [this](const char* text, bool go_on, int n_new_tokens) {
    when_dialog("read_dialog", [=](QDialog* dialog) {
      QTest::keyClicks(dialog->findChild<QPlainTextEdit*>("read_text"), QLatin1String(text));
      auto* where = dialog->findChild<QRadioButton*>(go_on ? "read_go_on" : "read_anew");
      ASSERT_TRUE(where->isEnabled());
      where->setChecked(true);
      if (n_new_tokens > 0) {
        dialog->findChild<QCheckBox*>("read_generate")->setChecked(true);
        dialog->findChild<QSpinBox*>()->setValue(n_new_tokens);
      }
      EXPECT_TRUE(wait_until([&] { return dialog->findChild<QLabel*>("read_count")->text().contains("tokens"); }));
      QTest::mouseClick(dialog->findChild<QPushButton*>("read_accept"), Qt::LeftButton);
    });
    key(Qt::Key_R, Qt::ControlModifier);
    EXPECT_TRUE(wait_until([this] { return find<QDialog>("read_dialog") != nullptr; }));
    EXPECT_TRUE(wait_until([this] { return find<QDialog>("read_dialog") == nullptr; }));
  };
  // Read alone: what was pasted, and nothing after it.
  read("The cat sat", false, 0);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kLive; })) << window_->error_text().toStdString();
  ASSERT_TRUE(ended());
  EXPECT_EQ(window_->error_text(), "");
  const int64_t n_read = controller().history().n_steps();
  ASSERT_GT(n_read, 2);
  EXPECT_EQ(controller().history().n_processed(), n_read) << "measured to the last";
  for (const Token& token : controller().history().tokens()) EXPECT_EQ(token.segment, Segment::kForced);
  // It goes on, reads while it writes, and writes behind that.
  GenerateRequest on;
  on.go_on = true;
  on.n_new_tokens = 400;
  on.after_token = takes_ms(10);
  controller().generate(std::move(on));
  ASSERT_TRUE(wait_until([&] { return controller().history().n_processed() > n_read + 10; }));
  read(" and then the dog", true, 6);
  ASSERT_TRUE(wait_until([this] {
    const auto tokens = controller().history().tokens();
    return !controller().running() && !controller().waiting_for_run() && !tokens.empty() &&
           tokens.back().segment == Segment::kGenerated;
  })) << window_->error_text().toStdString();
  ASSERT_TRUE(ended());
  // As recorded: given, drawn, given, drawn; the pasted tokens are those of the text.
  const auto reader = SessionReader::open(controller().session_path());
  ASSERT_TRUE(reader) << reader.error().message;
  const auto tokens = (*reader)->tokens(1);
  ASSERT_TRUE(tokens);
  std::string read_text;
  std::vector<Segment> stretches;
  int64_t n_last = 0;
  for (const Token& token : *tokens) {
    if (stretches.empty() || stretches.back() != token.segment) {
      stretches.push_back(token.segment);
      n_last = 0;
    }
    ++n_last;
    if (token.segment == Segment::kForced && stretches.size() > 1) read_text += token.bytes;
  }
  EXPECT_EQ(stretches,
            (std::vector<Segment>{Segment::kForced, Segment::kGenerated, Segment::kForced, Segment::kGenerated}));
  EXPECT_EQ(read_text, " and then the dog");
  EXPECT_EQ(n_last, 6);
  EXPECT_TRUE((*reader)->gaps(1)->empty());
  const auto entropy = (*reader)->recorded_steps(*find_probe("output.entropy"), 1);
  ASSERT_TRUE(entropy);
  ASSERT_EQ(entropy->size(), 1u) << "measured without a hole";
  EXPECT_EQ(entropy->front().second, std::ssize(*tokens) - 1);
  EXPECT_EQ((*reader)->run(1)->settings.turns.size(), 3u);
}

// --- layouts ---

TEST_F(FrameTest, ArrangesDocksByPresetsAndByName) {
  open_model();
  finish_run(10);
  EXPECT_TRUE(visible("library") && visible("inspector") && visible("attention") && visible("cache"));
  key(Qt::Key_2, Qt::AltModifier);
  run_events_for(100);
  EXPECT_EQ(controller().view().theme, ThemeKind::kProjector);
  EXPECT_TRUE(visible("attention") && visible("output") && visible("timeline"));
  EXPECT_FALSE(visible("library") || visible("inspector") || visible("cache") || visible("runs"));
  EXPECT_FALSE(visible("state")) << "the model has none";
  EXPECT_GT(window_->canvas("attention")->height(), window_->height() * 2 / 5) << "large";
  key(Qt::Key_3, Qt::AltModifier);
  run_events_for(100);
  EXPECT_EQ(controller().view().theme, ThemeKind::kLight) << "as it was before the class";
  EXPECT_TRUE(visible("library") && visible("inspector") && visible("cache") && visible("runs") && visible("notes"));
  EXPECT_FALSE(visible("state"));

  const auto top = [this](const char* dock) { return find<QDockWidget>(dock)->mapTo(window_.get(), QPoint()).y(); };
  EXPECT_GT(top("dock_runs"), top("dock_library") + 50) << "below each other, not behind";
  EXPECT_GT(top("dock_notes"), top("dock_runs") + 50);

  find<QDockWidget>("dock_cache")->hide();
  when_dialog("save_layout", [](QDialog* dialog) {
    QTest::keyClicks(dialog->findChild<QLineEdit*>(), "mine & yours");
    QTest::keyClick(dialog->findChild<QLineEdit*>(), Qt::Key_Return);
  });
  action("Save the layout as")->trigger();
  ASSERT_TRUE(wait_until([] { return layout_names() == QStringList{"mine & yours"}; }));
  key(Qt::Key_1, Qt::AltModifier);
  run_events_for(50);
  EXPECT_TRUE(visible("cache"));
  QAction* restore = find<QMenu>("saved_layouts")->actions().value(0);
  ASSERT_NE(restore, nullptr);
  restore->trigger();
  run_events_for(50);
  EXPECT_FALSE(visible("cache"));
  EXPECT_TRUE(visible("notes"));
  EXPECT_FALSE(visible("state")) << "still none";
  find<QMenu>("remove_layouts")->actions().value(0)->trigger();
  EXPECT_TRUE(layout_names().isEmpty());
}

TEST_F(FrameTest, MaximisesAViewAndGoesBack) {
  open_model();
  finish_run(10);
  ImGuiCanvas* canvas = window_->canvas("attention");
  const QSize before = canvas->size();
  auto* dock = find<QDockWidget>("dock_attention");
  QTest::mouseDClick(dock->titleBarWidget(), Qt::LeftButton, {}, dock->titleBarWidget()->rect().center());
  EXPECT_TRUE(window_->is_maximised());
  EXPECT_FALSE(dock->isFloating());
  ASSERT_TRUE(wait_until([&] { return canvas->width() > before.width() && canvas->height() > before.height(); }));
  EXPECT_FALSE(visible("library") || visible("cache"));
  EXPECT_FALSE(window_->canvas("text")->isVisible());
  finish_run(5);
  EXPECT_TRUE(window_->is_maximised()) << "a further run leaves it as it is";
  EXPECT_FALSE(visible("cache"));
  key(Qt::Key_M);
  EXPECT_TRUE(wait_until([&] { return canvas->size() == before; }));
  EXPECT_TRUE(visible("library") && visible("cache") && window_->canvas("text")->isVisible());
  // Closed while maximised, all views come back with the next window.
  key(Qt::Key_M);
  const std::string path = controller().session_path();
  window_->close();
  window_.reset();
  open(path);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }));
  run_events_for(100);
  EXPECT_TRUE(visible("library") && visible("cache"));
  key(Qt::Key_F11);
  EXPECT_TRUE(wait_until([this] { return window_->isFullScreen(); }));
  key(Qt::Key_F11);
  EXPECT_TRUE(wait_until([this] { return !window_->isFullScreen(); }));
}

// --- preferences ---

TEST_F(FrameTest, PreferencesHoldAtOnceAndFromOneStartToTheNext) {
  open_model();
  finish_run(10);
  const float usual = window_->canvas("text")->scene().size.width > 0 ? window_theme(ThemeKind::kLight).text_px : 0;
  key(Qt::Key_Comma, Qt::ControlModifier);
  auto* dialog = find<PreferencesDialog>("preferences");
  ASSERT_NE(dialog, nullptr);
  const auto spin = [&](const char* name) { return dialog->findChild<QSpinBox*>(QLatin1String(name)); };
  spin("preference_type")->setValue(150);
  EXPECT_EQ(window_theme(ThemeKind::kLight).text_px, std::round(usual * 1.5f));
  EXPECT_GT(QApplication::font().pixelSize(), static_cast<int>(usual));
  auto* theme = dialog->findChild<QComboBox*>("preference_theme");
  theme->setFocus();
  QTest::keyClick(theme, Qt::Key_Down);
  EXPECT_EQ(controller().view().theme, ThemeKind::kDark);
  spin("preference_history")->setValue(64);
  const auto most_bytes = [&] { return controller().history().max_bytes(); };
  ASSERT_TRUE(wait_until([&] { return most_bytes() < size_t{64} << 20; })) << "the maps on the screen are part of it";
  EXPECT_GT(most_bytes(), size_t{48} << 20);
  controller().set_texture_bytes(size_t{60} << 20);
  EXPECT_EQ(most_bytes(), size_t{16} << 20) << "a quarter stays for what is drawn";
  auto* level = dialog->findChild<QComboBox*>("preference_level");
  level->setFocus();
  QTest::keyClick(level, Qt::Key_Up);  // light
  dialog->findChild<QDoubleSpinBox*>()->setValue(0.25);
  EXPECT_EQ(window_->prompt().sampler().settings().temperature, 0.25);
  finish_run(6);
  EXPECT_EQ(controller().history().info().level, "light");
  EXPECT_FALSE(controller().history().row(*find_probe("attention.mass"), 3)) << "not measured at that level";
  auto* record = dialog->findChild<QCheckBox*>("preference_record");
  QTest::mouseClick(record, Qt::LeftButton, {}, QPoint(8, record->height() / 2));
  EXPECT_TRUE(action("Do not record")->isChecked());

  window_->close();
  window_.reset();
  open_model();
  EXPECT_EQ(controller().view().theme, ThemeKind::kDark);
  EXPECT_EQ(window_theme(ThemeKind::kDark).text_px, std::round(usual * 1.5f));
  EXPECT_TRUE(action("Do not record")->isChecked());
  EXPECT_EQ(window_->prompt().sampler().settings().temperature, 0.25);
  key(Qt::Key_Comma, Qt::ControlModifier);
  dialog = find<PreferencesDialog>("preferences");
  ASSERT_NE(dialog, nullptr);
  for (QPushButton* button : dialog->findChildren<QPushButton*>()) {
    if (button->text().contains("Default", Qt::CaseInsensitive)) button->click();
  }
  EXPECT_EQ(controller().view().theme, ThemeKind::kLight);
  EXPECT_EQ(window_theme(ThemeKind::kLight).text_px, usual);
  EXPECT_EQ(window_->prompt().sampler().settings().temperature, SamplerSettings().temperature);
  EXPECT_EQ(Preferences::load(), Preferences{});
}

// --- keys and commands ---

TEST_F(FrameTest, EveryShortcutIsInTheListAndNoneIsTakenTwice) {
  open_model();
  finish_run(6);
  std::set<QString> shortcuts;
  int n_actions = 0;
  for (QAction* one : window_->findChildren<QAction*>()) {
    for (const QKeySequence& keys : one->shortcuts()) {
      EXPECT_TRUE(shortcuts.insert(keys.toString()).second) << keys.toString().toStdString() << " is taken twice";
      ++n_actions;
    }
  }
  EXPECT_GT(n_actions, 15);
  bool looked = false;
  when_dialog("shortcuts", [&](QDialog* dialog) {
    auto* table = dialog->findChild<QTableWidget*>("shortcut_table");
    QString all;
    for (int row = 0; row < table->rowCount(); ++row) all += table->item(row, 0)->text() + "\n";
    for (const QString& one : shortcuts) {
      EXPECT_TRUE(all.contains(QKeySequence(one).toString(QKeySequence::NativeText))) << one.toStdString();
    }
    for (const char* one :
         {"Space", "←", "→", "↑", "↓", "[", "]", "Home", "End", "Esc", "\nF\n", "\nM\n", "\nN\n", "?"}) {
      EXPECT_TRUE(all.contains(QString::fromUtf8(one))) << one;
    }
    looked = true;
    dialog->reject();
  });
  key(Qt::Key_Question, Qt::ShiftModifier);
  EXPECT_TRUE(looked);
}

TEST_F(FrameTest, ThePaletteFindsWhatIsNew) {
  open_model();
  finish_run(6);
  for (const auto& [typed, done] : std::vector<std::pair<const char*, std::function<bool()>>>{
           {"table: cache", [this] { return window_->findChild<TableWindow*>() != nullptr; }},
           {"preferences", [this] { return find<QDialog>("preferences") != nullptr; }},
           {"read this", [this] { return find<QDialog>("read_dialog") != nullptr; }},
           {"layout: research", [this] { return visible("runs"); }},
           {"head after", [this] { return controller().view().selected.head == 1; }}}) {
    when_dialog("palette", [typed = typed](QDialog* dialog) {
      auto* line = dialog->findChild<QLineEdit*>();
      QTest::keyClicks(line, QLatin1String(typed));
      QTest::keyClick(line, Qt::Key_Return);
    });
    key(Qt::Key_K, Qt::ControlModifier);
    EXPECT_TRUE(wait_until(done, 3000)) << typed;
    for (QDialog* dialog : window_->findChildren<QDialog*>()) dialog->close();
    run_events_for(30);
  }
}

TEST_F(FrameTest, AViewThatTheModelLacksSaysWhyInTheMenu) {
  open_model();
  finish_run(6);
  QAction* toggle = find<QDockWidget>("dock_routing")->toggleViewAction();
  EXPECT_FALSE(toggle->isEnabled());
  EXPECT_GT(toggle->text().size(), find<QDockWidget>("dock_routing")->windowTitle().size() + 10);
}

}  // namespace
}  // namespace orrery
