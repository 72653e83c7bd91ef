// TableWindow: "show as table": the numbers that a view shows now, to sort, to copy, to export, to listen to.
#pragma once

#include <QDialog>
#include <QTimer>
#include <functional>
#include <vector>

#include "app/window/scene_table_model.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QTableView;

namespace orrery {

class TableWindow final : public QDialog {
  Q_OBJECT
 public:
  struct Source {
    QString title;                     // of the view
    std::function<Scene()> scene;      // what it shows now
    std::function<int64_t()> version;  // changes with it
  };
  TableWindow(Source source, QWidget* parent);

  // Takes the view's numbers anew; the chosen table stays.
  void refresh();
  // What tests ask.
  QTableView& table() { return *view_; }
  SceneTableModel& model() { return *model_; }

 Q_SIGNALS:
  void failed(QString sentence);

 protected:
  // Ctrl+C copies all that is selected; Qt's table would copy one cell.
  bool eventFilter(QObject* watched, QEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  QWidget* build_top();
  QWidget* build_bottom();
  void follow();  // the timer's: where the view has changed
  void show_table(int index);
  void copy(bool with_headers);
  void export_table();
  void fit_columns();

  const Source source_;
  std::vector<SceneTable> tables_;
  int64_t shown_version_ = -1;
  QComboBox* choice_ = nullptr;
  QCheckBox* live_ = nullptr;
  QLabel* about_ = nullptr;
  SceneTableModel* model_ = nullptr;
  SceneTableOrder* order_ = nullptr;
  QTableView* view_ = nullptr;
  QTimer clock_;
};

}  // namespace orrery
