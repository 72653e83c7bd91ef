#include "app/window/start_page.h"

#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>

#include "app/window/library_panel.h"

namespace orrery {
namespace {

constexpr int kColumnWidth = 560;
constexpr int kMostEntries = 6;

}  // namespace

StartPage::StartPage(QWidget* parent) : QWidget(parent) {
  setObjectName(QStringLiteral("start_page"));
  setAutoFillBackground(true);
  heading_ = new QLabel;
  QFont large = heading_->font();
  large.setPixelSize(26);
  large.setBold(true);
  heading_->setFont(large);
  heading_->setTextFormat(Qt::PlainText);
  sentence_ = new QLabel;
  sentence_->setTextFormat(Qt::PlainText);
  sentence_->setWordWrap(true);
  auto* open_button = new QPushButton(tr("Open a model or a session…"));
  open_button->setObjectName(QStringLiteral("start_open"));
  connect(open_button, &QPushButton::clicked, this, &StartPage::open_dialog);

  lists_ = new QWidget;
  list_layout_ = new QVBoxLayout(lists_);
  list_layout_->setContentsMargins(0, 0, 0, 0);
  list_layout_->setSpacing(2);

  auto* column = new QWidget;
  column->setFixedWidth(kColumnWidth);
  auto* column_layout = new QVBoxLayout(column);
  column_layout->setSpacing(12);
  column_layout->addStretch(2);
  column_layout->addWidget(heading_);
  column_layout->addWidget(sentence_);
  column_layout->addWidget(open_button, 0, Qt::AlignLeft);
  column_layout->addWidget(lists_);
  column_layout->addStretch(3);
  auto* layout = new QHBoxLayout(this);
  layout->addStretch();
  layout->addWidget(column);
  layout->addStretch();
}

void StartPage::add_entries(const QString& title, const QList<LibraryEntry>& entries) {
  if (entries.isEmpty()) return;
  auto* label = new QLabel(title);
  QFont bold = label->font();
  bold.setBold(true);
  label->setFont(bold);
  label->setContentsMargins(0, 10, 0, 2);
  list_layout_->addWidget(label);
  for (const LibraryEntry& entry : entries) {
    auto* button = new QPushButton(
        QStringLiteral("%1    %2")
            .arg(entry.title, QStringList{entry.detail, entry.note}.join(
                                  entry.detail.isEmpty() || entry.note.isEmpty() ? QString() : QStringLiteral(", ")))
            .replace('&', "&&"));
    button->setFlat(true);
    button->setCursor(Qt::PointingHandCursor);
    button->setStyleSheet(QStringLiteral("text-align: left; padding: 4px 6px; color: palette(link);"));
    const QString target = entry.target;
    connect(button, &QPushButton::clicked, this, [this, target, kind = entry.kind] {
      if (kind == LibraryEntry::Kind::kKnownModel) return Q_EMIT get(target);
      if (kind == LibraryEntry::Kind::kPartModel) return Q_EMIT go_on(target);
      Q_EMIT open(target);
    });
    list_layout_->addWidget(button);
  }
}

void StartPage::refresh(const QString& ready_model, bool loading) {
  if (loading) {
    heading_->setText(tr("Opening the model"));
    sentence_->setText(tr("Its weights are being mapped and placed; the bar below shows how far."));
  } else if (!ready_model.isEmpty()) {
    heading_->setText(tr("%1 is ready").arg(ready_model));
    sentence_->setText(
        tr("Write a prompt above and press Generate (Ctrl+Return). Every run is recorded from its first "
           "token, so that you can scrub back while it goes on."));
  } else {
    heading_->setText(tr("Orrery"));
    sentence_->setText(
        tr("Watch a language model think, token by token: what it attends to, what it holds in its cache, "
           "what it nearly said. Open a model to generate, or a session to look at a recorded run."));
  }
  while (QLayoutItem* item = list_layout_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  if (loading || !ready_model.isEmpty()) return;
  add_entries(tr("Models"), model_entries());
  QList<LibraryEntry> sessions = opened_file_entries(kMostEntries);
  for (const LibraryEntry& entry : unnamed_session_entries(kMostEntries)) {
    if (sessions.size() < kMostEntries) sessions.append(entry);
  }
  add_entries(tr("Recent sessions"), sessions);
}

}  // namespace orrery
