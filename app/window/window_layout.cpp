// Arrangements of the main window's docks: presets, those that the user named, one view alone, the whole screen.
#include <QAction>
#include <QDockWidget>
#include <QInputDialog>
#include <QMenu>
#include <QStatusBar>
#include <algorithm>
#include <array>

#include "app/window/layouts.h"
#include "app/window/main_window.h"

namespace orrery {
namespace {

// In the order in which a class would look at them; a model has some of them.
constexpr std::array<std::string_view, 4> kTeachingLeft{"attention", "state", "fast", "loop"};
constexpr std::array<std::string_view, 4> kTeachingRight{"routing", "loop", "state", "output"};

}  // namespace

void MainWindow::build_layout_menu(QMenu* view) {
  QMenu* menu = view->addMenu(tr("Layout"));
  add_action(menu, tr("Layout: explore (all views, library, inspector)"), QKeySequence(Qt::ALT | Qt::Key_1),
             [this] { apply_preset(LayoutPreset::kExplore); });
  add_action(menu, tr("Layout: teaching (few large views, projector theme)"), QKeySequence(Qt::ALT | Qt::Key_2),
             [this] { apply_preset(LayoutPreset::kTeaching); });
  add_action(menu, tr("Layout: research (everything)"), QKeySequence(Qt::ALT | Qt::Key_3),
             [this] { apply_preset(LayoutPreset::kResearch); });
  menu->addSeparator();
  saved_layouts_menu_ = menu->addMenu(tr("Saved layouts"));
  saved_layouts_menu_->setObjectName(QStringLiteral("saved_layouts"));
  add_action(menu, tr("Save the layout as…"), {}, [this] { save_layout_dialog(); });
  removed_layouts_menu_ = menu->addMenu(tr("Remove a layout"));
  removed_layouts_menu_->setObjectName(QStringLiteral("remove_layouts"));
  refresh_layout_menus();
  menu->addSeparator();
  QAction* maximise = add_action(menu, tr("Maximise the view under the pointer, and back"), {},
                                 [this] { toggle_maximised(current_view()); });
  bind(Qt::Key_M, tr("M"), maximise);
  full_screen_action_ = add_action(menu, tr("Full screen"), QKeySequence(Qt::Key_F11),
                                   [this] { setWindowState(windowState() ^ Qt::WindowFullScreen); });
  full_screen_action_->setCheckable(true);
}

bool MainWindow::has_layout() {
  if (docks_arranged_) return true;
  statusBar()->showMessage(tr("A layout is one of a run's views: open or generate a run first"), 8000);
  return false;
}

// As the user has it, the views that this model lacks included.
QByteArray MainWindow::layout_state() {
  std::vector<QDockWidget*> shown;
  for (const ViewCanvas& one : canvases_) {
    if (one.absent && one.was_visible && one.dock->isHidden()) shown.push_back(one.dock);
  }
  for (QDockWidget* dock : shown) dock->show();
  const QByteArray state = saveState(kDockLayout);
  for (QDockWidget* dock : shown) dock->hide();
  return state;
}

void MainWindow::restore_layout(const QByteArray& state) {
  if (!restoreState(state, kDockLayout)) {
    return show_error(tr("This layout is of another version of the program; save it again."));
  }
  hide_absent();
}

// A layout that was put in place shows what this model lacks, too.
void MainWindow::hide_absent() {
  for (ViewCanvas& one : canvases_) {
    if (!one.absent) continue;
    one.was_visible = !one.dock->isHidden();
    one.dock->hide();
  }
  view_dirty_ = true;
  wake_clock();
}

void MainWindow::show_view(std::string_view name, bool shown) {
  for (ViewCanvas& one : canvases_) {
    if (one.view->name() != name || one.dock == nullptr) continue;
    one.was_visible = shown;
    one.dock->setVisible(shown && !one.absent);
  }
  view_dirty_ = true;
  wake_clock();
}

void MainWindow::apply_preset(LayoutPreset preset) {
  if (!has_layout()) return;
  leave_maximised();
  restoreState(default_docks_, kDockLayout);
  const auto dock = [this](const char* name) {
    return findChild<QDockWidget*>(QStringLiteral("dock_") + QLatin1String(name));
  };
  size_docks();
  hide_absent();
  const bool teaching = preset == LayoutPreset::kTeaching;
  has_own_sizes_ = teaching;
  for (const char* name : {"library", "runs", "notes", "inspector"}) dock(name)->setVisible(!teaching);
  dock("library")->raise();
  if (teaching) return teach();
  if (preset == LayoutPreset::kResearch) {
    // Below the library rather than behind it. What is among tabs is taken out first: it would stay among them.
    for (const char* name : {"runs", "notes"}) removeDockWidget(dock(name));
    for (const char* name : {"runs", "notes"}) {
      addDockWidget(Qt::LeftDockWidgetArea, dock(name), Qt::Vertical);
      dock(name)->show();
    }
    resizeDocks({dock("library"), dock("runs"), dock("notes")}, {400, 250, 250}, Qt::Vertical);
  }
  if (theme_before_teaching_ && controller_.view().theme == ThemeKind::kProjector) set_theme(*theme_before_teaching_);
  theme_before_teaching_.reset();
}

// Two views that the model has, as large as the text leaves room for, and the timeline.
void MainWindow::teach() {
  const auto has = [this](std::string_view name) {
    return std::ranges::any_of(canvases_,
                               [&](const ViewCanvas& one) { return one.view->name() == name && !one.absent; });
  };
  const auto* const left = std::ranges::find_if(kTeachingLeft, has);
  const auto* const right = std::ranges::find_if(kTeachingRight, [&](std::string_view name) {
    return has(name) && (left == kTeachingLeft.end() || name != *left);
  });
  QDockWidget *left_dock = nullptr, *right_dock = nullptr, *timeline = nullptr;
  for (const ViewCanvas& one : canvases_) {
    if (one.dock == nullptr) continue;
    const std::string_view name = one.view->name();
    if (left != kTeachingLeft.end() && name == *left) left_dock = one.dock;
    if (right != kTeachingRight.end() && name == *right) right_dock = one.dock;
    if (name == "timeline") timeline = one.dock;
    show_view(name, one.dock == left_dock || one.dock == right_dock || one.dock == timeline);
  }
  if (controller_.view().theme != ThemeKind::kProjector) {
    theme_before_teaching_ = controller_.view().theme;
    set_theme(ThemeKind::kProjector);
  }
  QList<QDockWidget*> large;
  for (QDockWidget* dock : {left_dock, right_dock}) {
    if (dock != nullptr) large.append(dock);
  }
  const int strip = std::clamp(height() * 12 / 100, 90, 160);
  const int tall = height() * 55 / 100;
  if (large.size() == 2) resizeDocks(large, {width() * 6 / 10, width() * 4 / 10}, Qt::Horizontal);
  for (QDockWidget* dock : large) resizeDocks({dock, timeline}, {tall, strip}, Qt::Vertical);
}

// --- one view alone ---

void MainWindow::toggle_maximised(const View& view) {
  if (is_maximised()) return leave_maximised();
  if (!has_layout()) return;
  state_before_maximised_ = layout_state();
  maximised_ = &view;
  keep_maximised();
  statusBar()->showMessage(tr("M, or a double click on the view's upper edge, shows all views again"), 8000);
}

void MainWindow::keep_maximised() {
  if (!is_maximised()) return;
  QDockWidget* alone = nullptr;
  for (const ViewCanvas& one : canvases_) {
    if (one.view != maximised_) continue;
    if (one.absent) return leave_maximised();
    alone = one.dock;
  }
  for (QDockWidget* dock : findChildren<QDockWidget*>()) dock->setVisible(dock == alone);
  centralWidget()->setVisible(alone == nullptr);
  view_dirty_ = true;
  wake_clock();
}

void MainWindow::leave_maximised() {
  if (!is_maximised()) return;
  const QByteArray state = std::exchange(state_before_maximised_, {});
  maximised_ = nullptr;
  centralWidget()->show();
  restore_layout(state);
}

// --- layouts that the user named ---

void MainWindow::save_layout_dialog() {
  if (!has_layout()) return;
  auto* dialog = new QInputDialog(this);
  dialog->setObjectName(QStringLiteral("save_layout"));
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setWindowTitle(tr("Save the layout"));
  dialog->setLabelText(tr("Name of the layout (one of the same name is replaced):"));
  connect(dialog, &QInputDialog::textValueSelected, this, [this](const QString& text) {
    const QString name = text.trimmed().left(60);
    if (name.isEmpty()) return;
    leave_maximised();
    store_layout(name, layout_state());
    refresh_layout_menus();
    statusBar()->showMessage(tr("Layout saved: %1").arg(name), 8000);
  });
  dialog->open();
}

void MainWindow::refresh_layout_menus() {
  for (QMenu* menu : {saved_layouts_menu_, removed_layouts_menu_}) {
    for (QAction* action : menu->actions()) {
      std::erase(actions_, action);
      action->deleteLater();
    }
    menu->clear();
  }
  // An ampersand in a name is no shortcut.
  const auto shown = [](QString name) { return name.replace(QLatin1Char('&'), QStringLiteral("&&")); };
  for (const QString& name : layout_names()) {
    add_action(saved_layouts_menu_, tr("Layout: %1").arg(shown(name)), {}, [this, name] {
      if (!has_layout()) return;
      leave_maximised();
      restore_layout(stored_layout(name));
    });
    add_action(removed_layouts_menu_, tr("Remove the layout: %1").arg(shown(name)), {}, [this, name] {
      remove_layout(name);
      refresh_layout_menus();
      statusBar()->showMessage(tr("Layout removed: %1").arg(name), 8000);
    });
  }
  for (QMenu* menu : {saved_layouts_menu_, removed_layouts_menu_}) menu->setEnabled(!layout_names().isEmpty());
}

}  // namespace orrery
