#include "app/window/inspector_dock.h"

#include <QApplication>
#include <QClipboard>
#include <QHeaderView>
#include <QKeyEvent>
#include <algorithm>

namespace orrery {
namespace {

enum Column { kName, kValue, kProvenance, kColumns };

const std::string& text_of(const InspectorRow& row, int column) {
  return column == kName ? row.name : column == kValue ? row.value : row.provenance;
}

}  // namespace

void InspectorModel::set_rows(std::vector<InspectorRow> rows) {
  std::vector<Line> lines;
  lines.reserve(rows.size() + 8);
  std::string section;
  for (InspectorRow& row : rows) {
    if (row.section != section) {
      section = row.section;
      lines.push_back({true, {section, section, "", ""}});
    }
    lines.push_back({false, std::move(row)});
  }
  bool same_names = lines.size() == lines_.size();
  for (size_t i = 0; same_names && i < lines.size(); ++i) {
    same_names = lines[i].is_section == lines_[i].is_section && lines[i].row.name == lines_[i].row.name;
  }
  if (!same_names) {
    beginResetModel();
    lines_ = std::move(lines);
    endResetModel();
    return;
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool changed =
        lines[i].row.value != lines_[i].row.value || lines[i].row.provenance != lines_[i].row.provenance;
    if (!changed) continue;
    lines_[i] = std::move(lines[i]);
    const int row = static_cast<int>(i);
    Q_EMIT dataChanged(index(row, kValue), index(row, kProvenance));
  }
}

int InspectorModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(lines_.size());
}

int InspectorModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : int{kColumns}; }

QVariant InspectorModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) return {};
  const Line& line = lines_[static_cast<size_t>(index.row())];
  switch (role) {
    case Qt::DisplayRole:
      return QString::fromStdString(text_of(line.row, index.column()));
    case Qt::ToolTipRole:
      // Escaped: a tooltip that looks like markup would be taken for it.
      return line.is_section ? QVariant()
                             : QVariant(QStringLiteral("<p>%1: %2<br>%3</p>")
                                            .arg(QString::fromStdString(line.row.name).toHtmlEscaped(),
                                                 QString::fromStdString(line.row.value).toHtmlEscaped(),
                                                 QString::fromStdString(line.row.provenance).toHtmlEscaped()));
    case Qt::FontRole: {
      if (!line.is_section) return {};
      QFont font = QApplication::font();
      font.setBold(true);
      return font;
    }
    case Qt::ForegroundRole:
      if (index.column() == kValue || line.is_section) return {};
      return QApplication::palette().color(QPalette::PlaceholderText);
    default:
      return {};
  }
}

QVariant InspectorModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || role != Qt::DisplayRole) return {};
  return section == kName ? tr("name") : section == kValue ? tr("value") : tr("provenance");
}

InspectorTable::InspectorTable(QWidget* parent) : QTableView(parent), model_(new InspectorModel(this)) {
  setModel(model_);
  setObjectName(QStringLiteral("inspector"));
  setAccessibleName(tr("Inspector"));
  setSelectionBehavior(QAbstractItemView::SelectRows);
  setShowGrid(false);
  setWordWrap(false);
  setFrameShape(QFrame::NoFrame);
  setEditTriggers(QAbstractItemView::NoEditTriggers);
  setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
  verticalHeader()->hide();
  verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
  horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
  horizontalHeader()->setHighlightSections(false);
  // Keys move the selection of the views, not the cursor in this table.
  setFocusPolicy(Qt::ClickFocus);
  fit_to_font();
}

void InspectorTable::set_rows(std::vector<InspectorRow> rows) {
  model_->set_rows(std::move(rows));
  for (int row = 0; row < model_->rowCount(); ++row) {
    const int span = model_->is_section(row) ? int{kColumns} : 1;
    if (columnSpan(row, 0) != span) setSpan(row, 0, 1, span);
  }
}

void InspectorTable::resizeEvent(QResizeEvent* event) {
  QTableView::resizeEvent(event);
  fit_to_font();
}

void InspectorTable::changeEvent(QEvent* event) {
  QTableView::changeEvent(event);
  if (event->type() == QEvent::FontChange || event->type() == QEvent::StyleChange) fit_to_font();
}

// Names and values are read at a glance; where they come from may need scrolling sideways.
void InspectorTable::fit_to_font() {
  const int em = fontMetrics().averageCharWidth();
  verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 5);
  setColumnWidth(kName, std::min(27 * em, viewport()->width() * 55 / 100));
  setColumnWidth(kValue, 16 * em);
  setColumnWidth(kProvenance, std::max(40 * em, viewport()->width() - columnWidth(kName) - columnWidth(kValue)));
}

void InspectorTable::keyPressEvent(QKeyEvent* event) {
  if (!event->matches(QKeySequence::Copy)) return QTableView::keyPressEvent(event);
  QString copied;
  for (const QModelIndex& index : selectionModel()->selectedRows()) {
    for (int column = 0; column < kColumns; ++column) {
      copied += model_->data(index.siblingAtColumn(column), Qt::DisplayRole).toString();
      copied += column + 1 < kColumns ? QLatin1Char('\t') : QLatin1Char('\n');
    }
  }
  if (!copied.isEmpty()) QApplication::clipboard()->setText(copied);
}

}  // namespace orrery
