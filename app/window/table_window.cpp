#include "app/window/table_window.h"

#include <QApplication>
#include <QCheckBox>
#include <QClipboard>
#include <QComboBox>
#include <QFileDialog>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLabel>
#include <QLocale>
#include <QPushButton>
#include <QScreen>
#include <QStyledItemDelegate>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>
#include <chrono>

#include "app/scene_files.h"

namespace orrery {
namespace {

constexpr std::chrono::milliseconds kLook{250};  // numbers cannot be read faster
constexpr size_t kLargeTable = 50'000;           // rows: sorting anew is felt
constexpr int kMostColumnEms = 28;

QString to_qstring(const std::string& text) { return QString::fromStdString(text); }

// Numbers end at the right and names begin at the left: a gap keeps neighbours apart.
class SpacedCells final : public QStyledItemDelegate {
 public:
  using QStyledItemDelegate::QStyledItemDelegate;

 protected:
  void initStyleOption(QStyleOptionViewItem* option, const QModelIndex& index) const override {
    QStyledItemDelegate::initStyleOption(option, index);
    option->text = QStringLiteral("  %1  ").arg(option->text);
  }
};

// What the numbers are: the view's notes and where they come from.
QString about(const Scene& scene) {
  QStringList lines;
  for (const Provenance& one : scene.provenance) lines << to_qstring(one.line());
  for (const std::string& note : scene.notes) lines << to_qstring(note);
  lines.removeDuplicates();
  return lines.mid(0, 6).join(QLatin1Char('\n'));
}

}  // namespace

TableWindow::TableWindow(Source source, QWidget* parent) : QDialog(parent), source_(std::move(source)) {
  setObjectName(QStringLiteral("table_window"));
  setWindowTitle(tr("%1 as a table").arg(source_.title));
  setWindowFlag(Qt::WindowMaximizeButtonHint);
  setAttribute(Qt::WA_DeleteOnClose);
  model_ = new SceneTableModel(this);
  order_ = new SceneTableOrder(this);
  order_->setSourceModel(model_);
  view_ = new QTableView;
  view_->setObjectName(QStringLiteral("scene_table"));
  view_->setAccessibleName(tr("Numbers of %1").arg(source_.title));
  view_->setModel(order_);
  view_->installEventFilter(this);
  view_->setItemDelegate(new SpacedCells(view_));
  view_->setSortingEnabled(true);
  view_->sortByColumn(-1, Qt::AscendingOrder);  // as the view has them, until a header is clicked
  view_->setAlternatingRowColors(true);
  view_->setWordWrap(false);
  view_->setSelectionMode(QAbstractItemView::ExtendedSelection);
  view_->setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
  view_->verticalHeader()->hide();
  view_->verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
  view_->horizontalHeader()->setHighlightSections(false);
  view_->horizontalHeader()->setSortIndicatorClearable(true);
  view_->horizontalHeader()->setToolTip(tr("Click to sort; a third click shows the view's own order"));
  about_ = new QLabel;
  about_->setObjectName(QStringLiteral("table_about"));
  about_->setTextFormat(Qt::PlainText);
  about_->setWordWrap(true);
  about_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  about_->setForegroundRole(QPalette::PlaceholderText);
  auto* layout = new QVBoxLayout(this);
  layout->addWidget(build_top());
  layout->addWidget(view_, 1);
  layout->addWidget(about_);
  layout->addWidget(build_bottom());
  resize(QSize(std::max(640, 90 * fontMetrics().averageCharWidth()), std::max(480, 32 * fontMetrics().height()))
             .boundedTo(screen()->availableSize() * 4 / 5));
  refresh();
  connect(&clock_, &QTimer::timeout, this, &TableWindow::follow);
  clock_.start(kLook);
  view_->setFocus();
}

QWidget* TableWindow::build_top() {
  choice_ = new QComboBox;
  choice_->setObjectName(QStringLiteral("table_choice"));
  choice_->setAccessibleName(tr("Which table"));
  choice_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  connect(choice_, &QComboBox::activated, this, [this](int index) {
    show_table(index);
    fit_columns();
  });
  live_ = new QCheckBox(tr("&Follow the view"));
  live_->setObjectName(QStringLiteral("table_follow"));
  live_->setChecked(true);
  live_->setToolTip(tr("The numbers change as the view does; off, they stay as they are"));
  connect(live_, &QCheckBox::toggled, this, [this](bool on) {
    if (on) refresh();
  });
  auto* top = new QWidget;
  auto* row = new QHBoxLayout(top);
  row->setContentsMargins(0, 0, 0, 0);
  row->addWidget(choice_);
  row->addStretch(1);
  row->addWidget(live_);
  return top;
}

QWidget* TableWindow::build_bottom() {
  const auto button = [](const char* name, const QString& text, const QString& tip) {
    auto* made = new QPushButton(text);
    made->setObjectName(QLatin1String(name));
    made->setToolTip(tip);
    made->setAutoDefault(false);
    return made;
  };
  auto* copy_button = button("table_copy", tr("&Copy"), tr("The selected cells, separated by tabs (Ctrl+C)"));
  auto* with_headers = button("table_copy_headers", tr("Copy with &headers"),
                              tr("The selected cells below their columns' names (Ctrl+Shift+C)"));
  auto* export_button = button("table_export", tr("&Export…"), tr("All rows of this table as CSV or NPY"));
  auto* close_button = button("table_close", tr("Close"), {});
  connect(copy_button, &QPushButton::clicked, this, [this] { copy(false); });
  connect(with_headers, &QPushButton::clicked, this, [this] { copy(true); });
  connect(export_button, &QPushButton::clicked, this, &TableWindow::export_table);
  connect(close_button, &QPushButton::clicked, this, &QDialog::close);
  auto* bottom = new QWidget;
  auto* row = new QHBoxLayout(bottom);
  row->setContentsMargins(0, 0, 0, 0);
  for (QPushButton* one : {copy_button, with_headers, export_button}) row->addWidget(one);
  row->addStretch(1);
  row->addWidget(close_button);
  return bottom;
}

void TableWindow::follow() {
  if (!live_->isChecked() || source_.version() == shown_version_) return;
  refresh();
}

void TableWindow::refresh() {
  shown_version_ = source_.version();
  const Scene scene = source_.scene();
  const QString chosen = choice_->currentText();
  const bool first = choice_->count() == 0;
  tables_ = scene_tables(scene);
  QStringList names;
  for (const SceneTable& table : tables_) names << to_qstring(table.name);
  QStringList now;
  for (int i = 0; i < choice_->count(); ++i) now << choice_->itemText(i);
  if (names != now) {
    choice_->clear();
    choice_->addItems(names);
  }
  choice_->setEnabled(names.size() > 1);
  choice_->setCurrentIndex(std::max(choice_->findText(chosen), names.isEmpty() ? -1 : 0));
  show_table(choice_->currentIndex());
  QString text = about(scene);
  if (tables_.empty()) text = tr("%1 shows no numbers now.").arg(source_.title) + QLatin1Char('\n') + text;
  about_->setText(text);
  if (first) fit_columns();
  // A large table is looked at less often.
  clock_.setInterval(model_->table().n_rows() > kLargeTable ? 8 * kLook : kLook);
}

void TableWindow::show_table(int index) {
  const bool known = index >= 0 && index < static_cast<int>(tables_.size());
  model_->set_table(known ? tables_[static_cast<size_t>(index)] : SceneTable{});
  const auto n = static_cast<int>(model_->table().n_rows());
  const QString rows = QLocale().toString(n);
  view_->setAccessibleDescription(known ? tr("%1, %2 rows").arg(to_qstring(model_->table().name), rows) : QString());
  setWindowTitle(known ? tr("%1 as a table: %2 rows").arg(source_.title, rows)
                       : tr("%1 as a table").arg(source_.title));
}

void TableWindow::fit_columns() {
  const int em = fontMetrics().averageCharWidth();
  view_->verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 5);
  view_->horizontalHeader()->setResizeContentsPrecision(60);
  view_->resizeColumnsToContents();
  for (int column = 0; column < model_->columnCount(); ++column) {
    view_->setColumnWidth(column, std::clamp(view_->columnWidth(column) + 2 * em, 8 * em, kMostColumnEms * em));
  }
}

void TableWindow::copy(bool with_headers) {
  QItemSelection selection = view_->selectionModel()->selection();
  if (selection.isEmpty() && order_->rowCount() > 0) {
    selection.select(order_->index(0, 0), order_->index(order_->rowCount() - 1, order_->columnCount() - 1));
  }
  if (!selection.isEmpty()) QApplication::clipboard()->setText(selection_as_tsv(*order_, selection, with_headers));
}

void TableWindow::export_table() {
  const QString path = QFileDialog::getSaveFileName(this, tr("Export the table"),
                                                    to_qstring(model_->table().name) + QStringLiteral(".csv"),
                                                    tr("Table (*.csv);;NumPy array (*.npy)"));
  if (path.isEmpty()) return;
  const std::string file = path.toStdString();
  const Result<void> written =
      file.ends_with(".npy") ? write_table_npy(model_->table(), file) : write_table_csv(model_->table(), file);
  if (!written) {
    Q_EMIT failed(to_qstring(written.error().message));
    about_->setText(to_qstring(written.error().message));
  }
}

bool TableWindow::eventFilter(QObject* watched, QEvent* event) {
  if (watched == view_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    if (key->key() == Qt::Key_C && (key->modifiers() & Qt::ControlModifier)) {
      copy(key->modifiers() & Qt::ShiftModifier);
      return true;
    }
  }
  return QDialog::eventFilter(watched, event);
}

void TableWindow::changeEvent(QEvent* event) {
  QDialog::changeEvent(event);
  if (event->type() == QEvent::FontChange && view_ != nullptr) fit_columns();
}

}  // namespace orrery
