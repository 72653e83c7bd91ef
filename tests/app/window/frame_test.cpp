// What else is around the views, with real keys and clicks: the session's runs, reading a text, layouts, preferences,
// the list of keys.
#include <QApplication>
#include <QCheckBox>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QPushButton>
#include <QRadioButton>
#include <QSpinBox>
#include <QTableWidget>
#include <QTreeWidget>
#include <set>

#include "app/window/command_palette.h"
#include "app/window/layouts.h"
#include "app/window/preferences_dialog.h"
#include "app/window/table_window.h"
#include "tests/app/window/frame_fixture.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using testing::FrameTest;
using testing::Mode;
using testing::run_events_for;
using testing::takes_ms;
using testing::wait_until;

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
