// BackendMenu: on which backend models are opened: one menu, in the Run menu, behind the toolbar's button and, action
// by action, in the command palette. The choice is kept in the settings; where a model is open on another backend,
// loading it again is offered.
#pragma once

#include <QMenu>
#include <string>
#include <vector>

class QActionGroup;
class QToolButton;

namespace orrery {

class SessionController;

class BackendMenu final : public QMenu {
  Q_OBJECT
 public:
  // The controller must outlive this.
  explicit BackendMenu(SessionController& controller, QWidget* parent = nullptr);

  // What was chosen in an earlier window; empty: automatic.
  static std::string stored_choice();

  // Shows what computes, or is chosen to, and opens this menu.
  QToolButton* make_button();
  // As if the user had chosen it in the menu; empty: automatic.
  void choose(const std::string& name);
  // After the controller's status_changed.
  void refresh();

 private:
  void add_choice(const std::string& name, const QString& text);
  void offer_reload();
  void refresh_cuda();
  void refresh_button();

  SessionController& controller_;
  QActionGroup* choices_;
  QAction* cuda_ = nullptr;
  QAction* reload_ = nullptr;
  QToolButton* button_ = nullptr;
};

}  // namespace orrery
