// What the main window puts around the views: their tables and exports, notes, the session's runs, reading a text,
// preferences.
#include <QAction>
#include <QDockWidget>
#include <QEvent>
#include <QMenu>
#include <QMenuBar>
#include <QStatusBar>
#include <QUndoStack>

#include "app/window/appearance.h"
#include "app/window/fonts.h"
#include "app/window/main_window.h"
#include "app/window/notes_panel.h"
#include "app/window/preferences_dialog.h"
#include "app/window/read_text_dialog.h"
#include "app/window/runs_panel.h"
#include "app/window/table_window.h"
#include "app/window/view_export.h"
#include "views/registry.h"
#include "views/view_state_json.h"

namespace orrery {
namespace {

constexpr QSize kRoomy{1280, 860};  // what a view has room for its numbers in; as in `shot`

QString to_qstring(std::string_view text) {
  return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

}  // namespace

void MainWindow::build_frame_docks() {
  runs_ = new RunsPanel;
  auto* notes = new NotesPanel(controller_.notes());
  QDockWidget* library = findChild<QDockWidget*>(QStringLiteral("dock_library"));
  QDockWidget* runs_dock = add_dock(QStringLiteral("dock_runs"), tr("Runs"), runs_);
  QDockWidget* notes_dock = add_dock(QStringLiteral("dock_notes"), tr("Notes"), notes);
  for (QDockWidget* dock : {runs_dock, notes_dock}) {
    addDockWidget(Qt::LeftDockWidgetArea, dock);
    tabifyDockWidget(library, dock);
  }
  library->raise();
  connect(runs_, &RunsPanel::open, this, &MainWindow::open_run);
  connect(notes, &NotesPanel::add, this, &MainWindow::add_note);
  connect(notes, &NotesPanel::look_again, this, &MainWindow::look_again);
}

void MainWindow::connect_frame() {
  connect(&controller_, &SessionController::library_changed, this, &MainWindow::refresh_runs);
  preferences_ = Preferences::load();
  preferences_.backend = controller_.backend();  // the command line's, where it names one
  set_type_scale(preferences_.type_percent);
  set_theme(preferences_.theme);
  record_action_->setChecked(!preferences_.record);
  controller_.set_level(preferences_.level);
  controller_.set_history_bytes(static_cast<size_t>(preferences_.history_mib) << 20);
  controller_.set_sessions_bytes(static_cast<uint64_t>(preferences_.sessions_gib) << 30);
}

void MainWindow::build_edit_menu() {
  QMenu* edit = menuBar()->addMenu(tr("&Edit"));
  QUndoStack& stack = controller_.notes().undo_stack();
  QAction* undo = stack.createUndoAction(this, tr("&Undo"));
  undo->setShortcut(QKeySequence::Undo);
  QAction* redo = stack.createRedoAction(this, tr("&Redo"));
  redo->setShortcuts({QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_Z), QKeySequence(Qt::CTRL | Qt::Key_Y)});
  for (QAction* action : {undo, redo}) {
    edit->addAction(action);
    actions_.push_back(action);
  }
  edit->addSeparator();
  bind(Qt::Key_N, tr("N"), add_action(edit, tr("&Note at the selected step…"), {}, [this] { add_note(); }));
  edit->addSeparator();
  add_action(edit, tr("&Preferences…"), QKeySequence(Qt::CTRL | Qt::Key_Comma), [this] { show_preferences(); });
}

// --- tables and exports ---

Scene MainWindow::scene_of(const View& view, const TextMetrics& metrics) {
  const ImGuiCanvas* shown = canvas(view.name());
  return scene_of(view, metrics, shown != nullptr ? shown->size() : QSize(1600, 1000));
}

Scene MainWindow::scene_of(const View& view, const TextMetrics& metrics, const QSize& size) {
  const std::string no_exact_row = controller_.no_exact_row(view);
  return view.scene({.history = controller_.history(),
                     .state = controller_.view(),
                     .size = {static_cast<float>(size.width()), static_cast<float>(size.height())},
                     .metrics = metrics,
                     .texts = &controller_,
                     .no_exact_row = no_exact_row,
                     .row_may_come = controller_.row_may_come(view),
                     .notes = controller_.notes().marks()});
}

const View& MainWindow::current_view() const {
  for (const ViewCanvas& one : canvases_) {
    if (one.canvas->isVisible() && one.canvas->underMouse()) return *one.view;
  }
  if (last_view_ != nullptr) return *last_view_;
  return **find_view("text");
}

TableWindow* MainWindow::show_table(const View& view) {
  const auto scene = [this, &view] {
    controller_.want(view);  // also where its dock is hidden
    const QtTextMetrics metrics(window_theme(controller_.view().theme));
    Scene shown = scene_of(view, metrics);
    if (!scene_tables(shown).empty()) return shown;
    shown = scene_of(view, metrics, kRoomy);
    shown.notes.emplace_back("Laid out larger than the view is, which has no room to show them.");
    return shown;
  };
  const auto version = [this, &view] {
    const ImGuiCanvas* shown = canvas(view.name());
    // What a hidden view would show changes with the history alone, as far as can be seen.
    return shown != nullptr && shown->isVisible() ? shown->n_paints()
                                                  : -static_cast<int64_t>(controller_.history().version());
  };
  auto* window = new TableWindow({.title = to_qstring(view.title()), .scene = scene, .version = version}, this);
  window->show();
  return window;
}

bool MainWindow::export_view_to(const View& view, const QString& path) {
  const Theme& theme = window_theme(controller_.view().theme);
  const QtTextMetrics metrics(theme);
  const Result<QStringList> files = export_scene(scene_of(view, metrics), theme, metrics, path);
  if (!files) {
    show_error(QString::fromStdString(files.error().message));
    return false;
  }
  statusBar()->showMessage(
      files->size() == 1 ? tr("Exported: %1").arg(files->front())
                         : tr("Exported %n files, one per map and chart: %1 …", "", static_cast<int>(files->size()))
                               .arg(files->front()),
      12000);
  return true;
}

void MainWindow::show_view_menu(const View& view, const QPoint& at) {
  last_view_ = &view;
  auto* menu = new QMenu(this);
  menu->setObjectName(QStringLiteral("view_menu"));
  menu->setAttribute(Qt::WA_DeleteOnClose);
  menu->addAction(tr("Show as table…"), QKeySequence(Qt::CTRL | Qt::Key_T), this, [this, &view] { show_table(view); });
  menu->addAction(tr("Export…"), this, [this, &view] { export_view(view); });
  menu->addSeparator();
  menu->addAction(is_maximised() ? tr("Back to all views (M)") : tr("Maximise (M)"), this,
                  [this, &view] { toggle_maximised(view); });
  if (&view != *find_view("text") && !is_maximised()) {
    menu->addAction(tr("Hide"), this, [this, &view] { show_view(view.name(), false); });
  }
  menu->addSeparator();
  QAction* note = menu->addAction(tr("Note at the selected step… (N)"), this, [this] { add_note(); });
  note->setEnabled(controller_.notes().cannot_write().isEmpty());
  menu->popup(at);
}

// --- notes ---

void MainWindow::add_note() {
  NoteBook& notes = controller_.notes();
  const QString why = notes.cannot_write();
  if (!why.isEmpty()) return show_error(why);
  const int64_t step = resolve(controller_.history(), controller_.view()).step;
  if (step < 0) return show_error(tr("There is no step yet to note anything at."));
  const std::string view_state = view_state_to_json(controller_.history(), controller_.view());
  const int64_t run = controller_.history().info().run;
  const std::string path = controller_.session_path();
  const auto text = ask_for_note(this, tr("Note at step %1").arg(step), {});
  if (!text) return;
  if (run != controller_.history().info().run || path != controller_.session_path()) {
    return show_error(tr("Another run is shown now, so the note was not kept: %1").arg(*text));
  }
  notes.add(step, text->toStdString(), view_state);
  statusBar()->showMessage(tr("Noted at step %1; Ctrl+Z takes it back").arg(step), 8000);
}

void MainWindow::look_again(uint64_t key) {
  const BookNote* note = controller_.notes().find(key);
  if (note == nullptr) return;
  controller_.apply(RestoreView{view_state_from_json(note->note.view_state, note->note.step)});
}

// --- runs ---

void MainWindow::refresh_runs() {
  if (controller_.mode() == SessionController::Mode::kEmpty) return;
  const std::string path = controller_.session_path();
  if (path.empty()) return runs_->show_sentence(tr("This run is not recorded."));
  aside_.run([path] { return read_session_runs(path); },
             [this, tag = ++runs_tag_](const Result<std::vector<SessionRunRow>>& rows) {
               if (tag != runs_tag_) return;
               if (!rows) return runs_->show_sentence(QString::fromStdString(rows.error().message));
               runs_->show_runs(*rows, controller_.history().info().run);
             });
}

void MainWindow::open_run(int64_t run) {
  if (run == controller_.history().info().run) return;
  if (controller_.running()) {
    return show_error(tr("A run is being recorded into this session; stop it to look at another."));
  }
  error_bar_->hide();
  controller_.open_session(controller_.session_path(), run);
}

// --- reading a text ---

void MainWindow::read_text() {
  const OpenModel* model = controller_.model();
  if (model == nullptr) return show_error(tr("No model is open yet: open one, or choose one in the library."));
  const std::string why = controller_.cannot_read_on();
  const bool has_run = controller_.mode() != SessionController::Mode::kEmpty;
  auto* dialog = new ReadTextDialog(
      {.tokenizer = model->tokenizer,
       .cannot_continue = !has_run ? tr("No run is on the screen yet.")
                          : why.empty()
                              ? QString()
                              : tr("The run on the screen cannot read it: %1.").arg(QString::fromStdString(why)),
       .n_new_tokens = prompt_->sampler().n_new_tokens()},
      this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &QDialog::accepted, this, [this, dialog] {
    error_bar_->hide();
    GenerateRequest request = dialog->request();
    request.sampler = prompt_->sampler().settings();
    request.record = !record_action_->isChecked();
    controller_.generate(std::move(request));
    setFocus();
  });
  dialog->open();
}

// --- preferences ---

void MainWindow::show_preferences() {
  auto* dialog = new PreferencesDialog(preferences_, prompt_->sampler(), this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &PreferencesDialog::changed, this, [this, dialog] { apply_preferences(dialog->preferences()); });
  dialog->open();
}

void MainWindow::apply_preferences(const Preferences& wanted) {
  const Preferences before = preferences_;
  preferences_ = wanted;
  preferences_.save();
  if (wanted.theme != before.theme || wanted.type_percent != before.type_percent) {
    set_type_scale(wanted.type_percent);
    set_theme(wanted.theme);
  }
  if (wanted.record != before.record) record_action_->setChecked(!wanted.record);
  if (wanted.backend != before.backend) backend_menu_->choose(wanted.backend);
  controller_.set_level(wanted.level);
  controller_.set_sessions_bytes(static_cast<uint64_t>(wanted.sessions_gib) << 30);
  if (wanted.history_mib != before.history_mib) {
    controller_.set_history_bytes(static_cast<size_t>(wanted.history_mib) << 20);
  }
}

void MainWindow::changeEvent(QEvent* event) {
  QMainWindow::changeEvent(event);
  // A window manager may end full screen as well.
  if (event->type() == QEvent::WindowStateChange && full_screen_action_ != nullptr) {
    full_screen_action_->setChecked(isFullScreen());
  }
}

}  // namespace orrery
