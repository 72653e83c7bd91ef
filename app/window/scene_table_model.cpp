#include "app/window/scene_table_model.h"

#include <QApplication>
#include <QItemSelection>
#include <QPalette>
#include <algorithm>
#include <cmath>
#include <set>

namespace orrery {
namespace {

QString to_qstring(const std::string& text) { return QString::fromStdString(text); }

// Tabs and line ends would break the lines apart.
QString plain_cell(QString text) { return text.replace(QLatin1Char('\t'), QLatin1Char(' ')).replace('\n', ' '); }

bool same_columns(const SceneTable& a, const SceneTable& b) {
  if (a.n_rows() != b.n_rows() || a.columns.size() != b.columns.size()) return false;
  for (size_t i = 0; i < a.columns.size(); ++i) {
    if (a.columns[i].header() != b.columns[i].header()) return false;
  }
  return true;
}

}  // namespace

void SceneTableModel::set_table(SceneTable table) {
  if (same_columns(table_, table) && table.n_rows() > 0) {
    table_ = std::move(table);
    Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
    return;
  }
  beginResetModel();
  table_ = std::move(table);
  endResetModel();
}

int SceneTableModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_.n_rows());
}

int SceneTableModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_.columns.size());
}

QVariant SceneTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount() || index.column() >= columnCount()) return {};
  const SceneColumn& column = table_.columns[static_cast<size_t>(index.column())];
  const auto row = static_cast<size_t>(index.row());
  const bool missing = !column.is_text() && std::isnan(column.numbers[row]);
  switch (role) {
    case Qt::DisplayRole:
      return missing ? QStringLiteral("–") : to_qstring(column.text_at(row));
    case Qt::AccessibleTextRole:
      return missing ? tr("%1 missing").arg(to_qstring(column.name))
                     : QStringLiteral("%1 %2").arg(to_qstring(column.header()), to_qstring(column.text_at(row)));
    case Qt::UserRole:
      return column.is_text() ? QVariant(to_qstring(column.texts[row])) : QVariant(column.numbers[row]);
    case Qt::TextAlignmentRole:
      return QVariant::fromValue((column.is_text() ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
    case Qt::ForegroundRole:
      return missing ? QVariant(QApplication::palette().color(QPalette::PlaceholderText)) : QVariant();
    default:
      return {};
  }
}

QVariant SceneTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || section < 0 || section >= columnCount()) return {};
  const SceneColumn& column = table_.columns[static_cast<size_t>(section)];
  if (role == Qt::DisplayRole || role == Qt::AccessibleTextRole) return to_qstring(column.header());
  return {};
}

bool SceneTableOrder::lessThan(const QModelIndex& left, const QModelIndex& right) const {
  const QVariant a = left.data(Qt::UserRole);
  const QVariant b = right.data(Qt::UserRole);
  if (a.typeId() == QMetaType::QString) return a.toString() < b.toString();
  const double x = a.toDouble();
  const double y = b.toDouble();
  // Descending order asks with the sides exchanged.
  if (std::isnan(x) || std::isnan(y)) {
    return sortOrder() == Qt::AscendingOrder ? !std::isnan(x) : std::isnan(x) && !std::isnan(y);
  }
  return x < y;
}

QString selection_as_tsv(const QAbstractItemModel& model, const QItemSelection& selection, bool with_headers) {
  std::set<int> rows;
  std::set<int> columns;
  qsizetype n_selected = 0;
  for (const QItemSelectionRange& range : selection) {
    for (int row = range.top(); row <= range.bottom(); ++row) rows.insert(row);
    for (int column = range.left(); column <= range.right(); ++column) columns.insert(column);
  }
  for (const QItemSelectionRange& range : selection) n_selected += qsizetype{range.width()} * range.height();
  const bool whole = n_selected == static_cast<qsizetype>(rows.size()) * static_cast<qsizetype>(columns.size());
  QString text;
  const auto put = [&](int column, const QString& cell) {
    text += plain_cell(cell);
    text += column == *columns.rbegin() ? QLatin1Char('\n') : QLatin1Char('\t');
  };
  if (with_headers) {
    for (const int column : columns) put(column, model.headerData(column, Qt::Horizontal, Qt::DisplayRole).toString());
  }
  for (const int row : rows) {
    for (const int column : columns) {
      const QModelIndex index = model.index(row, column);
      if (!whole && !selection.contains(index)) {
        put(column, {});
        continue;
      }
      const QVariant value = index.data(Qt::UserRole);
      const bool missing = value.typeId() == QMetaType::Double && std::isnan(value.toDouble());
      put(column, missing ? QString() : index.data(Qt::DisplayRole).toString());
    }
  }
  return text;
}

}  // namespace orrery
