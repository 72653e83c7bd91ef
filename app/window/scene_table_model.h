// SceneTableModel: one table of a view's numbers for Qt's table view; thin, the table is made in views/scene_table.
#pragma once

#include <QAbstractTableModel>
#include <QSortFilterProxyModel>

#include "views/scene_table.h"

class QItemSelection;

namespace orrery {

class SceneTableModel final : public QAbstractTableModel {
  Q_OBJECT
 public:
  using QAbstractTableModel::QAbstractTableModel;
  // The selection stays where the columns and the number of rows stay the same.
  void set_table(SceneTable table);
  const SceneTable& table() const { return table_; }

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  // Display: a missing number is "–". AccessibleText: the column's name and the value. UserRole: a double, or a text.
  QVariant data(const QModelIndex& index, int role) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

 private:
  SceneTable table_;
};

// Sorts numbers as numbers; what is missing comes last, whichever way.
class SceneTableOrder final : public QSortFilterProxyModel {
  Q_OBJECT
 public:
  using QSortFilterProxyModel::QSortFilterProxyModel;

 protected:
  bool lessThan(const QModelIndex& left, const QModelIndex& right) const override;
};

// The selected cells as tab-separated lines, in the order on the screen; cells between them that are not selected are
// empty. Missing numbers are empty.
QString selection_as_tsv(const QAbstractItemModel& model, const QItemSelection& selection, bool with_headers);

}  // namespace orrery
