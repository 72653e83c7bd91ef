// Menus, toolbar and keys of the main window.
#include <QActionGroup>
#include <QApplication>
#include <QComboBox>
#include <QDockWidget>
#include <QFileDialog>
#include <QFileInfo>
#include <QKeyEvent>
#include <QLabel>
#include <QMenuBar>
#include <QMessageBox>
#include <QStandardPaths>
#include <QStatusBar>
#include <QToolBar>
#include <QToolButton>
#include <vector>

#include "app/build_info.h"
#include "app/window/appearance.h"
#include "app/window/command_palette.h"
#include "app/window/main_window.h"
#include "app/window/session_files.h"
#include "app/window/view_export.h"
#include "views/registry.h"
#include "views/token_scalars.h"

namespace orrery {
namespace {

QString to_qstring(std::string_view text) {
  return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

struct Speed {
  const char* text;
  double value;
};
constexpr Speed kLiveSpeeds[] = {{"full speed", 0}, {"20 tokens/s", 20}, {"10 tokens/s", 10},
                                 {"5 tokens/s", 5}, {"2 tokens/s", 2},   {"1 token/s", 1}};
constexpr Speed kReplaySpeeds[] = {{"as recorded", 1}, {"1/8 ×", 0.125}, {"1/4 ×", 0.25}, {"1/2 ×", 0.5},
                                   {"2 ×", 2},         {"4 ×", 4},       {"16 ×", 16}};

}  // namespace

QAction* MainWindow::add_action(QMenu* menu, const QString& text, const QKeySequence& shortcut,
                                std::function<void()> act) {
  auto* action = new QAction(text, this);
  action->setShortcut(shortcut);
  connect(action, &QAction::triggered, this, [act = std::move(act)] { act(); });
  menu->addAction(action);
  actions_.push_back(action);
  return action;
}

void MainWindow::build_actions() {
  build_file_menu();
  build_edit_menu();
  build_run_menu();
  build_view_menu();
  build_help_menu();
  build_toolbar();
}

void MainWindow::build_file_menu() {
  QMenu* file = menuBar()->addMenu(tr("&File"));
  open_action_ = add_action(file, tr("&Open a model or session…"), QKeySequence::Open, [this] { open_dialog(); });
  add_action(file, tr("Open a model &folder…"), {}, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Open a model folder"));
    if (!folder.isEmpty()) open_path(folder);
  });
  run_model_action_ =
      add_action(file, tr("Open the &model of this run"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_M),
                 [this] { controller_.open_run_model(); });
  add_action(file, tr("&Get a model…"), QKeySequence(Qt::CTRL | Qt::Key_G), [this] { get_model({}); });
  recent_menu_ = file->addMenu(tr("Open &recent"));
  connect(recent_menu_, &QMenu::aboutToShow, this, [this] {
    recent_menu_->clear();
    for (const LibraryEntry& entry : opened_file_entries(12)) {
      recent_menu_->addAction(entry.title, this, [this, path = entry.target] { open_path(path); });
    }
    if (recent_menu_->isEmpty()) recent_menu_->addAction(tr("nothing yet"))->setEnabled(false);
  });
  file->addSeparator();
  save_action_ = add_action(file, tr("&Save session as…"), QKeySequence::Save, [this] { save_dialog(); });
  QMenu* exports = file->addMenu(tr("&Export what a view shows"));
  std::vector<const View*> views(all_views().begin(), all_views().end());
  views.push_back(&timeline_view());
  for (const View* const view : views) {
    QAction* const action =
        add_action(exports, tr("Export %1…").arg(to_qstring(view->title())), {}, [this, view] { export_view(*view); });
    for (ViewCanvas& one : canvases_) {
      if (one.view == view) one.export_action = action;
    }
  }
  add_action(file, tr("&Remove all unnamed runs…"), {}, [this] { purge(); });
  file->addSeparator();
  add_action(file, tr("&Quit"), QKeySequence::Quit, [this] { close(); });
}

void MainWindow::build_run_menu() {
  QMenu* run = menuBar()->addMenu(tr("&Run"));
  generate_action_ = add_action(run, tr("&Generate from the prompt"), QKeySequence(Qt::CTRL | Qt::Key_Return),
                                [this] { start_generating(); });
  go_on_action_ = add_action(run, tr("Continue from the last token"),
                             QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_Return), [this] { go_on(); });
  run_action_ = add_action(run, tr("Replay"), {}, [this] { controller_.run_or_pause(); });
  step_action_ = add_action(run, tr("Step one token"), QKeySequence(Qt::Key_F10), [this] { controller_.step(); });
  stop_action_ = add_action(run, tr("Stop"), QKeySequence(Qt::CTRL | Qt::Key_Period), [this] { controller_.stop(); });
  run->addSeparator();
  backend_menu_ = new BackendMenu(controller_, this);
  run->addMenu(backend_menu_);
  for (QAction* action : backend_menu_->actions()) actions_.push_back(action);
  record_action_ = add_action(run, tr("Do not record the next runs"), {}, [] {});
  record_action_->setCheckable(true);
  add_action(run, tr("Write a prompt"), QKeySequence(Qt::CTRL | Qt::Key_L), [this] { prompt_->focus_text(); });
  add_action(run, tr("Read this…"), QKeySequence(Qt::CTRL | Qt::Key_R), [this] { read_text(); });
  bind(Qt::Key_Space, tr("Space"), run_action_);
}

void MainWindow::build_view_menu() {
  QMenu* view = menuBar()->addMenu(tr("&View"));
  back_action_ =
      add_action(view, tr("Back"), QKeySequence(Qt::ALT | Qt::Key_Left), [this] { controller_.apply(Back{}); });
  forward_action_ =
      add_action(view, tr("Forward"), QKeySequence(Qt::ALT | Qt::Key_Right), [this] { controller_.apply(Forward{}); });
  follow_action_ = add_action(view, tr("Follow the newest token"), {},
                              [this] { controller_.apply(Follow{!controller_.view().follow}); });
  follow_action_->setCheckable(true);
  QAction* const clear =
      add_action(view, tr("Clear selection and zoom"), {}, [this] { controller_.apply(ClearSelection{}); });
  bind(Qt::Key_F, tr("F"), follow_action_);
  bind(Qt::Key_Escape, tr("Esc"), clear);
  build_selection_menu(view);
  add_loop_actions(view);
  QAction* const pin =
      add_action(view, tr("Pin this attention head, or unpin it"), {}, [this] { toggle_pinned_head(); });
  bind(Qt::Key_P, tr("P"), pin);
  view->addSeparator();
  add_action(view, tr("Show the view under the pointer as a table…"), QKeySequence(Qt::CTRL | Qt::Key_T),
             [this] { show_table(current_view()); });
  QMenu* tables = view->addMenu(tr("Show as table"));
  for (const ViewCanvas& one : canvases_) {
    add_action(tables, tr("Table: %1…").arg(to_qstring(one.view->title())), {},
               [this, shown = one.view] { show_table(*shown); });
  }
  build_layout_menu(view);
  QMenu* tokens = view->addMenu(tr("Colour tokens by"));
  for (const TokenScalar& scalar : token_scalars()) {
    QAction* const action =
        add_action(tokens, tr("Tokens: %1").arg(to_qstring(scalar.title)), {},
                   [this, name = std::string(scalar.name)] { controller_.apply(ChooseTokenScalar{name}); });
    scalar_actions_.emplace_back(action, find_probe(scalar.probe));
  }
  QMenu* heads = view->addMenu(tr("Colour heads by"));
  for (const HeadScalar& scalar : head_scalars()) {
    QAction* const action =
        add_action(heads, tr("Heads: %1").arg(to_qstring(scalar.title)), {},
                   [this, name = std::string(scalar.name)] { controller_.apply(ChooseHeadScalar{name}); });
    scalar_actions_.emplace_back(action, find_probe(scalar.name));
  }
  QMenu* themes = view->addMenu(tr("Theme"));
  for (const ThemeKind kind : {ThemeKind::kLight, ThemeKind::kDark, ThemeKind::kProjector}) {
    add_action(themes, tr("Theme: %1").arg(to_qstring(theme_name(kind))), {}, [this, kind] { set_theme(kind); });
  }
  QMenu* docks = view->addMenu(tr("Docks"));
  for (QDockWidget* dock : findChildren<QDockWidget*>()) docks->addAction(dock->toggleViewAction());
  view->addSeparator();
  overlay_action_ = add_action(view, tr("Frame times"), QKeySequence(Qt::Key_F12), [this] { refresh_status(); });
  overlay_action_->setCheckable(true);
}

// Shown where the model has a loop.
void MainWindow::add_loop_actions(QMenu* view) {
  QMenu* loop = view->addMenu(tr("Loop"));
  const auto add = [&](int key, const QString& shown, const QString& text, const auto& command) {
    loop_actions_.push_back(add_action(
        loop, text, {}, [this, command] { controller_.apply(command(controller_.history(), controller_.view())); }));
    if (key != 0) bind(key, shown, loop_actions_.back());
  };
  add(Qt::Key_Comma, tr(","), tr("Iteration before"),
      [](const auto& history, const auto& state) { return move_iteration(history, state, -1); });
  add(Qt::Key_Period, tr("."), tr("Iteration after"),
      [](const auto& history, const auto& state) { return move_iteration(history, state, 1); });
  add(Qt::Key_Less, tr("<"), tr("What-if: a lower threshold"),
      [](const auto& history, const auto& state) { return move_what_if(history, state, -1); });
  add(Qt::Key_Greater, tr(">"), tr("What-if: a higher threshold"),
      [](const auto& history, const auto& state) { return move_what_if(history, state, 1); });
  add(0, {}, tr("What-if: off"), [](const auto&, const auto&) -> Command { return AskWhatIf{}; });
  add(0, {}, tr("What-if: run it"), [](const auto&, const auto& state) -> Command {
    return state.what_if ? Command(RunWhatIf{*state.what_if}) : Command(AskWhatIf{});
  });
}

void MainWindow::build_help_menu() {
  QMenu* help = menuBar()->addMenu(tr("&Help"));
  add_action(help, tr("Commands…"), QKeySequence(Qt::CTRL | Qt::Key_K),
             [this] { show_command_palette(this, QList<QAction*>(actions_.begin(), actions_.end())); });
  bind(Qt::Key_Question, tr("?"), add_action(help, tr("Keyboard…"), {}, [this] { show_keys(); }));
  add_action(help, tr("About Orrery"), {}, [this] {
    QMessageBox box(
        QMessageBox::Information, tr("About Orrery"),
        tr("Orrery %1 shows how hybrid language models think, live.").arg(QString::fromStdString(build_id())),
        QMessageBox::Close, this);
    box.setTextFormat(Qt::PlainText);
    box.exec();
  });
}

void MainWindow::build_toolbar() {
  QToolBar* bar = addToolBar(tr("Run"));
  bar->setObjectName(QStringLiteral("toolbar"));
  bar->setMovable(false);
  bar->setIconSize(QSize(20, 20));
  bar->setToolButtonStyle(Qt::ToolButtonIconOnly);
  const auto gap = [bar](int width) {
    auto* space = new QWidget;
    space->setFixedWidth(width);
    bar->addWidget(space);
  };
  bar->addAction(open_action_);
  gap(6);
  model_label_ = new QLabel;
  model_label_->setObjectName(QStringLiteral("model_label"));
  model_label_->setTextFormat(Qt::PlainText);
  bar->addWidget(model_label_);
  bar->addWidget(backend_menu_->make_button());
  gap(6);
  bar->addSeparator();
  run_action_->setToolTip(tr("Run, pause or replay (Space)"));
  step_action_->setToolTip(tr("Step one token (F10)"));
  stop_action_->setToolTip(tr("Stop (Ctrl+.)"));
  for (QAction* action : {run_action_, step_action_, stop_action_}) bar->addAction(action);
  speed_ = new QComboBox;
  speed_->setObjectName(QStringLiteral("speed"));
  speed_->setToolTip(tr("How fast tokens come"));
  speed_->setFocusPolicy(Qt::TabFocus);
  speed_is_replay_ = true;  // so that the live choices are filled in
  connect(speed_, &QComboBox::activated, this, [this](int index) {
    const double value = speed_->itemData(index).toDouble();
    speed_is_replay_ ? controller_.set_replay_speed(value) : controller_.set_live_rate(value);
  });
  bar->addWidget(speed_);
  bar->addSeparator();
  for (QAction* action : {back_action_, forward_action_, follow_action_}) bar->addAction(action);
  back_action_->setToolTip(tr("Back to the selection before (Alt+Left)"));
  forward_action_->setToolTip(tr("Forward (Alt+Right)"));
  follow_action_->setToolTip(tr("Follow the newest token (F)"));
  auto* space = new QWidget;
  space->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  bar->addWidget(space);
  record_label_ = new QLabel;
  record_label_->setObjectName(QStringLiteral("record_state"));
  record_label_->setTextFormat(Qt::PlainText);
  bar->addWidget(record_label_);
  gap(8);
}

void MainWindow::refresh_icons() {
  const Theme& theme = window_theme(controller_.view().theme);
  open_action_->setIcon(make_icon(IconKind::kOpen, theme));
  run_action_->setIcon(make_icon(IconKind::kPlay, theme));
  step_action_->setIcon(make_icon(IconKind::kStep, theme));
  stop_action_->setIcon(make_icon(IconKind::kStop, theme));
  back_action_->setIcon(make_icon(IconKind::kBack, theme));
  forward_action_->setIcon(make_icon(IconKind::kForward, theme));
  follow_action_->setIcon(make_icon(IconKind::kFollow, theme));
  refresh_status();
}

void MainWindow::refresh_selection_actions() {
  const ViewState& view = controller_.view();
  follow_action_->setChecked(view.follow);
  back_action_->setEnabled(!view.back.empty());
  forward_action_->setEnabled(!view.forward.empty());
  const bool has_loop = controller_.history().info().config.loop.any();
  for (QAction* action : loop_actions_) action->setEnabled(has_loop);
}

// A run in progress is paced in tokens per second, a recorded one relative to its own time.
void MainWindow::refresh_speed_choices() {
  const bool replay = !controller_.running() && !controller_.waiting_for_run() && controller_.can_replay();
  if (replay == speed_is_replay_ && speed_->count() > 0) return;
  speed_is_replay_ = replay;
  speed_->clear();
  const std::span<const Speed> speeds =
      replay ? std::span<const Speed>(kReplaySpeeds) : std::span<const Speed>(kLiveSpeeds);
  for (const Speed& speed : speeds) speed_->addItem(tr(speed.text), speed.value);
  if (replay) {
    controller_.set_replay_speed(1);
  } else {
    controller_.set_live_rate(0);
  }
}

void MainWindow::open_dialog() {
  const QString path = QFileDialog::getOpenFileName(
      this, tr("Open a model or a session"), QString(),
      tr("Models and sessions (*.gguf *.orrery);;Sessions (*.orrery);;Models (*.gguf);;All files (*)"));
  if (!path.isEmpty()) open_path(path);
}

void MainWindow::save_dialog() {
  const QString current = QFileInfo(QString::fromStdString(controller_.session_path())).fileName();
  const QString folder = QStandardPaths::writableLocation(QStandardPaths::DocumentsLocation);
  QString path = QFileDialog::getSaveFileName(this, tr("Save session as"), folder + QLatin1Char('/') + current,
                                              tr("Sessions (*.orrery)"));
  if (path.isEmpty()) return;
  if (!path.endsWith(QStringLiteral(".orrery"))) path += QStringLiteral(".orrery");
  controller_.save_as(path.toStdString());
  remember_opened_file(path);
}

void MainWindow::export_view(const View& view) {
  const QString path =
      QFileDialog::getSaveFileName(this, tr("Export what %1 shows").arg(to_qstring(view.title())),
                                   to_qstring(view.name()) + QStringLiteral(".png"), view_export_filters());
  if (!path.isEmpty()) export_view_to(view, path);
}

void MainWindow::purge() {
  const auto answer = QMessageBox::question(
      this, tr("Remove unnamed runs"),
      tr("Remove all runs that were recorded by themselves and never saved under a name? This cannot be undone."));
  if (answer != QMessageBox::Yes) return;
  const int64_t n_removed = purge_sessions(0, controller_.session_path());
  library_->refresh();
  statusBar()->showMessage(tr("%n run(s) removed", "", static_cast<int>(n_removed)), 8000);
}

// Made of the actions, so that it cannot lag behind them; what the prompt answers to is no action.
void MainWindow::show_keys() {
  KeyList keys = key_list(QList<QAction*>(actions_.begin(), actions_.end()));
  keys.append({tr("Enter"), tr("In the prompt: send, or generate (Shift+Enter: a new line)")});
  keys.append({tr("Esc"), tr("In the prompt: stop")});
  keys.append({tr("Right click"), tr("A view's own menu")});
  keys.append({tr("Double click"), tr("On a view's upper edge: maximise it, and back")});
  show_shortcuts(this, keys);
}

void MainWindow::bind(int key, const QString& shown, QAction* action) {
  bind(key, shown, action, [action](bool) {
    if (action->isEnabled()) action->trigger();
  });
}

void MainWindow::bind(int key, const QString& shown, QAction* action, std::function<void(bool shift)> act) {
  action->setProperty(kKeysProperty, shown);
  keys_.push_back({key, std::move(act)});
}

// Keys that move the selection. As actions they are in the menu and the palette as well.
void MainWindow::build_selection_menu(QMenu* view) {
  QMenu* menu = view->addMenu(tr("Selection"));
  const auto move = [&](int key, const QString& shown, const QString& text,
                        const std::function<Command(int64_t)>& command) {
    QAction* action = add_action(menu, text, {}, [this, command] { controller_.apply(command(1)); });
    bind(key, shown, action, [this, command](bool shift) { controller_.apply(command(shift ? 10 : 1)); });
  };
  const auto step = [this](int64_t by) { return move_step(controller_.history(), controller_.view(), by); };
  const auto layer = [this](int by) { return move_layer(controller_.history(), controller_.view(), by); };
  const auto head = [this](int by) { return move_head(controller_.history(), controller_.view(), by); };
  move(Qt::Key_Left, tr("← (Shift: ten)"), tr("Token before"), [step](int64_t far) { return step(-far); });
  move(Qt::Key_Right, tr("→ (Shift: ten)"), tr("Token after"), [step](int64_t far) { return step(far); });
  move(Qt::Key_Home, tr("Home"), tr("First token"),
       [this, step](int64_t) { return step(-controller_.history().n_steps()); });
  move(Qt::Key_End, tr("End"), tr("Newest token"), [](int64_t) { return Command{Follow{true}}; });
  move(Qt::Key_Up, tr("↑"), tr("Layer before"), [layer](int64_t) { return layer(-1); });
  move(Qt::Key_Down, tr("↓"), tr("Layer after"), [layer](int64_t) { return layer(1); });
  move(Qt::Key_BracketLeft, tr("["), tr("Head before"), [head](int64_t) { return head(-1); });
  move(Qt::Key_BracketRight, tr("]"), tr("Head after"), [head](int64_t) { return head(1); });
}

void MainWindow::toggle_pinned_head() {
  if (controller_.mode() == SessionController::Mode::kEmpty) return;
  if (const auto command = toggle_pin(controller_.history(), controller_.view())) controller_.apply(*command);
}

void MainWindow::keyPressEvent(QKeyEvent* event) {
  if (event->modifiers() & (Qt::ControlModifier | Qt::AltModifier | Qt::MetaModifier)) {
    return QMainWindow::keyPressEvent(event);
  }
  for (const KeyBinding& binding : keys_) {
    if (binding.key == event->key()) return binding.act(event->modifiers() & Qt::ShiftModifier);
  }
  if (event->text() == QStringLiteral("?")) return show_keys();  // wherever a keyboard has it
  QMainWindow::keyPressEvent(event);
}

}  // namespace orrery
