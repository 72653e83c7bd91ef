// InspectorTable: the numbers of what is selected, each with where it comes from; a table to read, copy and listen to.
#pragma once

#include <QAbstractTableModel>
#include <QTableView>
#include <vector>

#include "views/inspector.h"

namespace orrery {

class InspectorModel final : public QAbstractTableModel {
  Q_OBJECT
 public:
  using QAbstractTableModel::QAbstractTableModel;
  // Repaints only what changed where the rows keep their names.
  void set_rows(std::vector<InspectorRow> rows);

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
  bool is_section(int row) const { return lines_[static_cast<size_t>(row)].is_section; }

 private:
  struct Line {
    bool is_section = false;
    InspectorRow row;  // of a section: its name only
  };
  std::vector<Line> lines_;
};

class InspectorTable final : public QTableView {
  Q_OBJECT
 public:
  explicit InspectorTable(QWidget* parent = nullptr);
  void set_rows(std::vector<InspectorRow> rows);

 protected:
  // Ctrl+C copies the selected rows, columns separated by tabs.
  void keyPressEvent(QKeyEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  void fit_to_font();
  InspectorModel* model_;
};

}  // namespace orrery
