#include "app/window/command_palette.h"

#include <QAction>
#include <QDialog>
#include <QDialogButtonBox>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLineEdit>
#include <QListWidget>
#include <QMenu>
#include <QTableWidget>
#include <QVBoxLayout>

namespace orrery {
namespace {

// Up and down in the line move in the list below it.
class ListKeys final : public QObject {
 public:
  ListKeys(QListWidget* list, QObject* parent) : QObject(parent), list_(list) {}
  bool eventFilter(QObject* watched, QEvent* event) override {
    if (event->type() != QEvent::KeyPress) return QObject::eventFilter(watched, event);
    const int key = static_cast<QKeyEvent*>(event)->key();
    if (key != Qt::Key_Up && key != Qt::Key_Down) return QObject::eventFilter(watched, event);
    const int by = key == Qt::Key_Up ? -1 : 1;
    for (int row = list_->currentRow() + by; row >= 0 && row < list_->count(); row += by) {
      if (list_->item(row)->isHidden()) continue;
      list_->setCurrentRow(row);
      break;
    }
    return true;
  }

 private:
  QListWidget* list_;
};

void filter(QListWidget* list, const QString& text) {
  int first = -1;
  for (int row = 0; row < list->count(); ++row) {
    const bool matches = list->item(row)->text().contains(text, Qt::CaseInsensitive);
    list->item(row)->setHidden(!matches);
    if (matches && first < 0) first = row;
  }
  list->setCurrentRow(first);
}

}  // namespace

QString keys_of(const QAction& action) {
  QStringList keys;
  for (const QKeySequence& one : action.shortcuts()) keys << one.toString(QKeySequence::NativeText);
  const QString others = action.property(kKeysProperty).toString();
  if (!others.isEmpty()) keys << others;
  return keys.join(QStringLiteral(", "));
}

KeyList key_list(const QList<QAction*>& actions) {
  KeyList list;
  for (const QAction* action : actions) {
    const QString keys = keys_of(*action);
    QString text = action->text();
    text.remove(QLatin1Char('&')).remove(QStringLiteral("…"));
    if (!keys.isEmpty() && !text.isEmpty()) list.append({keys, text});
  }
  return list;
}

void show_command_palette(QWidget* parent, const QList<QAction*>& actions) {
  QDialog dialog(parent);
  dialog.setObjectName(QStringLiteral("palette"));
  dialog.setWindowTitle(QObject::tr("Commands"));
  auto* line = new QLineEdit;
  line->setPlaceholderText(QObject::tr("Type a command"));
  auto* list = new QListWidget;
  for (QAction* action : actions) {
    if (!action->isEnabled() || action->text().isEmpty() || action->menu() != nullptr) continue;
    QString text = action->text().remove(QLatin1Char('&'));
    const QString keys = keys_of(*action);
    if (!keys.isEmpty()) text += QStringLiteral("    ") + keys;
    auto* item = new QListWidgetItem(text, list);
    item->setData(Qt::UserRole, QVariant::fromValue(static_cast<QObject*>(action)));
  }
  line->installEventFilter(new ListKeys(list, &dialog));
  QObject::connect(line, &QLineEdit::textChanged, list, [list](const QString& text) { filter(list, text); });
  QObject::connect(line, &QLineEdit::returnPressed, &dialog, &QDialog::accept);
  QObject::connect(list, &QListWidget::itemActivated, &dialog, &QDialog::accept);
  auto* layout = new QVBoxLayout(&dialog);
  layout->addWidget(line);
  layout->addWidget(list);
  dialog.resize(36 * dialog.fontMetrics().averageCharWidth() + 240, 460);
  filter(list, QString());
  if (dialog.exec() != QDialog::Accepted || list->currentItem() == nullptr || list->currentItem()->isHidden()) return;
  auto* action = qobject_cast<QAction*>(list->currentItem()->data(Qt::UserRole).value<QObject*>());
  if (action != nullptr) action->trigger();
}

void show_shortcuts(QWidget* parent, const KeyList& keys) {
  QDialog dialog(parent);
  dialog.setObjectName(QStringLiteral("shortcuts"));
  dialog.setWindowTitle(QObject::tr("Keyboard"));
  auto* table = new QTableWidget(static_cast<int>(keys.size()), 2);
  table->horizontalHeader()->hide();
  table->verticalHeader()->hide();
  table->setShowGrid(false);
  table->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table->setAccessibleName(QObject::tr("Keyboard"));
  table->setObjectName(QStringLiteral("shortcut_table"));
  for (int row = 0; row < keys.size(); ++row) {
    table->setItem(row, 0, new QTableWidgetItem(keys[row].first));
    table->setItem(row, 1, new QTableWidgetItem(keys[row].second));
  }
  table->resizeColumnsToContents();
  table->horizontalHeader()->setStretchLastSection(true);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
  QObject::connect(buttons, &QDialogButtonBox::rejected, &dialog, &QDialog::reject);
  auto* layout = new QVBoxLayout(&dialog);
  layout->addWidget(table);
  layout->addWidget(buttons);
  dialog.resize(QSize(92 * dialog.fontMetrics().averageCharWidth(), 620).boundedTo(parent->size()));
  dialog.exec();
}

}  // namespace orrery
