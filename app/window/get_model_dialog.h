// GetModelDialog: what shall be fetched, what that is, how large, and under which licence, before anything of it comes.
#pragma once

#include <QDialog>
#include <optional>

#include "app/window/model_fetch.h"

class QCheckBox;
class QLabel;
class QLineEdit;
class QPlainTextEdit;
class QPushButton;

namespace orrery {

class GetModelDialog final : public QDialog {
  Q_OBJECT
 public:
  explicit GetModelDialog(QWidget* parent = nullptr);

  // As if the user had typed it and pressed Return.
  void look_up(const QString& what);
  // One sentence, shown in place; the dialog stays open.
  void show_error(const QString& sentence);

 Q_SIGNALS:
  void get(orrery::FetchPlan plan, bool licence_accepted);

 private:
  void look_up_typed();
  void forget_plan();
  void show_plan(const FetchPlan& plan);
  void refresh_button();
  void keyPressEvent(QKeyEvent* event) override;

  ModelFetch fetch_;  // for plans alone
  std::optional<FetchPlan> plan_;
  QLineEdit* what_;
  QPushButton* look_up_;
  QLabel* error_;
  QWidget* details_;
  QLabel* title_;
  QLabel* source_;
  QLabel* licence_name_;
  QPlainTextEdit* licence_;
  QCheckBox* accept_;
  QPushButton* get_;
};

}  // namespace orrery
