#include "app/window/notes_panel.h"

#include <QDateTime>
#include <QDialog>
#include <QDialogButtonBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLabel>
#include <QLocale>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QShortcut>
#include <QTreeWidget>
#include <QVBoxLayout>

namespace orrery {
namespace {

enum Column { kStep, kText, kTime, kColumns };
constexpr int kKeyRole = Qt::UserRole;

QString time_text(int64_t created_ns) {
  if (created_ns <= 0) return {};
  const QDateTime time = QDateTime::fromMSecsSinceEpoch(created_ns / 1'000'000);
  const bool today = time.date() == QDate::currentDate();
  return QLocale::c().toString(time, today ? QStringLiteral("HH:mm") : QStringLiteral("d MMM HH:mm"));
}

}  // namespace

std::optional<QString> ask_for_note(QWidget* parent, const QString& title, const QString& text) {
  QDialog dialog(parent);
  dialog.setObjectName(QStringLiteral("note_dialog"));
  dialog.setWindowTitle(title);
  auto* edit = new QPlainTextEdit(text);
  edit->setObjectName(QStringLiteral("note_text"));
  edit->setAccessibleName(QObject::tr("Text of the note"));
  edit->setPlaceholderText(QObject::tr("What is to be seen here? (Ctrl+Return keeps it)"));
  edit->setTabChangesFocus(true);
  edit->moveCursor(QTextCursor::End);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Save | QDialogButtonBox::Cancel);
  QPushButton* save = buttons->button(QDialogButtonBox::Save);
  const auto refresh = [edit, save] { save->setEnabled(!edit->toPlainText().trimmed().isEmpty()); };
  QObject::connect(edit, &QPlainTextEdit::textChanged, save, refresh);
  refresh();
  QObject::connect(buttons, &QDialogButtonBox::accepted, &dialog, &QDialog::accept);
  QObject::connect(buttons, &QDialogButtonBox::rejected, &dialog, &QDialog::reject);
  for (const int key : {Qt::Key_Return, Qt::Key_Enter}) {
    auto* keep = new QShortcut(QKeySequence(Qt::CTRL | key), &dialog);
    QObject::connect(keep, &QShortcut::activated, save, &QPushButton::click);
  }
  auto* layout = new QVBoxLayout(&dialog);
  layout->addWidget(edit, 1);
  layout->addWidget(buttons);
  dialog.resize(440, 220);
  edit->setFocus();
  if (dialog.exec() != QDialog::Accepted) return std::nullopt;
  return edit->toPlainText().trimmed();
}

NotesPanel::NotesPanel(NoteBook& book, QWidget* parent) : QWidget(parent), book_(book) {
  tree_ = new QTreeWidget;
  tree_->setObjectName(QStringLiteral("notes"));
  tree_->setAccessibleName(tr("Notes"));
  tree_->setColumnCount(kColumns);
  tree_->setHeaderLabels({tr("step"), tr("note"), tr("written")});
  tree_->setRootIsDecorated(false);
  tree_->setFrameShape(QFrame::NoFrame);
  tree_->setUniformRowHeights(true);
  tree_->setTextElideMode(Qt::ElideRight);
  tree_->header()->setStretchLastSection(false);
  tree_->header()->setSectionResizeMode(kStep, QHeaderView::ResizeToContents);
  tree_->header()->setSectionResizeMode(kText, QHeaderView::Stretch);
  tree_->header()->setSectionResizeMode(kTime, QHeaderView::ResizeToContents);
  tree_->installEventFilter(this);
  none_ = new QLabel(tr("No notes yet. N writes one at the selected step."));
  none_->setWordWrap(true);
  none_->setAlignment(Qt::AlignCenter);
  none_->setForegroundRole(QPalette::PlaceholderText);
  const auto button = [](const char* name, const QString& text) {
    auto* made = new QPushButton(text);
    made->setObjectName(QLatin1String(name));
    return made;
  };
  add_ = button("note_add", tr("&Note…"));
  edit_ = button("note_edit", tr("&Edit…"));
  remove_ = button("note_remove", tr("&Remove"));
  connect(add_, &QPushButton::clicked, this, &NotesPanel::add);
  connect(edit_, &QPushButton::clicked, this, &NotesPanel::edit);
  connect(remove_, &QPushButton::clicked, this, &NotesPanel::remove);
  connect(tree_, &QTreeWidget::currentItemChanged, this, &NotesPanel::refresh_buttons);
  connect(tree_, &QTreeWidget::itemClicked, this, [this] { Q_EMIT look_again(current_key()); });
  connect(tree_, &QTreeWidget::itemActivated, this, [this] { Q_EMIT look_again(current_key()); });
  auto* row = new QHBoxLayout;
  row->setContentsMargins(6, 4, 6, 6);
  for (QPushButton* one : {add_, edit_, remove_}) row->addWidget(one, 1);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(tree_, 1);
  layout->addWidget(none_, 1);
  layout->addLayout(row);
  connect(&book_, &NoteBook::changed, this, &NotesPanel::refresh);
  refresh();
}

uint64_t NotesPanel::current_key() const {
  const QTreeWidgetItem* item = tree_->currentItem();
  return item == nullptr ? 0 : item->data(0, kKeyRole).toULongLong();
}

void NotesPanel::refresh() {
  const uint64_t current = current_key();
  tree_->clear();
  for (const BookNote& one : book_.notes()) {
    const QString text = QString::fromStdString(one.note.text);
    const bool saved = one.unsaved.empty();
    auto* item = new QTreeWidgetItem(tree_);
    item->setText(kStep, QString::number(one.note.step));
    item->setText(kText, QString(text).replace(QLatin1Char('\n'), QLatin1Char(' ')));
    item->setText(kTime, saved ? time_text(one.note.created_ns) : tr("not saved"));
    item->setTextAlignment(kStep, Qt::AlignRight | Qt::AlignVCenter);
    item->setData(0, kKeyRole, QVariant::fromValue<qulonglong>(one.key));
    // Escaped: a tooltip that looks like markup would be taken for it.
    QString tip = text.toHtmlEscaped().replace(QLatin1Char('\n'), QStringLiteral("<br>"));
    if (!saved) tip += QStringLiteral("<br><i>%1</i>").arg(QString::fromStdString(one.unsaved).toHtmlEscaped());
    item->setToolTip(kText, QStringLiteral("<p>%1</p>").arg(tip));
    if (one.key == current) tree_->setCurrentItem(item);
  }
  tree_->setVisible(!book_.notes().empty());
  none_->setVisible(book_.notes().empty());
  refresh_buttons();
}

void NotesPanel::refresh_buttons() {
  const QString why = book_.cannot_write();
  add_->setEnabled(why.isEmpty());
  add_->setToolTip(why.isEmpty() ? tr("A note at the selected step (N)") : why);
  edit_->setEnabled(why.isEmpty() && current_key() != 0);
  remove_->setEnabled(why.isEmpty() && current_key() != 0);
}

void NotesPanel::edit() {
  const BookNote* note = book_.find(current_key());
  if (note == nullptr) return;
  const uint64_t key = note->key;
  const auto text =
      ask_for_note(this, tr("Note at step %1").arg(note->note.step), QString::fromStdString(note->note.text));
  if (text) book_.edit(key, text->toStdString());
}

void NotesPanel::remove() { book_.remove(current_key()); }

bool NotesPanel::eventFilter(QObject* watched, QEvent* event) {
  if (watched == tree_ && event->type() == QEvent::KeyPress) {
    const int key = static_cast<QKeyEvent*>(event)->key();
    if (key == Qt::Key_Delete) return remove(), true;
    if (key == Qt::Key_F2) return edit(), true;
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace orrery
