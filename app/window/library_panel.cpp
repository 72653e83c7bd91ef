#include "app/window/library_panel.h"

#include <QContextMenuEvent>
#include <QDateTime>
#include <QFile>
#include <QFileInfo>
#include <QHeaderView>
#include <QLabel>
#include <QLocale>
#include <QMenu>
#include <QProgressBar>
#include <QSettings>
#include <QToolButton>
#include <QTreeWidget>
#include <QVBoxLayout>

#include "app/library/installed_models.h"
#include "app/window/session_files.h"
#include "sessions/writer_lock.h"

namespace orrery {
namespace {

constexpr int kKindRole = Qt::UserRole;
constexpr int kTargetRole = Qt::UserRole + 1;
const char* const kOpenedKey = "opened_files";
constexpr int kMostOpened = 12;

QString size_text(uint64_t n_bytes) {
  return QLocale::c().formattedDataSize(static_cast<qint64>(n_bytes), 1, QLocale::DataSizeSIFormat);
}

// "2026-11-22 04.50.12 SmolLM2" reads "04:50 SmolLM2" today and "22 Nov 04:50 SmolLM2" later.
QString session_title(const QString& stem) {
  const QDateTime time = QDateTime::fromString(stem.left(19), QStringLiteral("yyyy-MM-dd HH.mm.ss"));
  if (!time.isValid()) return stem;
  const bool today = time.date() == QDate::currentDate();
  const QString when = QLocale::c().toString(time, today ? QStringLiteral("HH:mm") : QStringLiteral("d MMM HH:mm"));
  return when + QLatin1Char(' ') + stem.mid(20);
}

QTreeWidgetItem* add_group(QTreeWidget* tree, const QString& title, const QList<LibraryEntry>& entries,
                           const QString& nothing) {
  auto* group = new QTreeWidgetItem(tree, {title});
  QFont bold = tree->font();
  bold.setBold(true);
  group->setFont(0, bold);
  group->setFlags(Qt::ItemIsEnabled);
  group->setFirstColumnSpanned(true);
  for (const LibraryEntry& entry : entries) {
    auto* item = new QTreeWidgetItem(group, {entry.title, entry.detail});
    item->setData(0, kKindRole, static_cast<int>(entry.kind));
    item->setData(0, kTargetRole, entry.target);
    item->setToolTip(0, QStringLiteral("<p>%1</p>").arg(entry.target.toHtmlEscaped()));
    item->setTextAlignment(1, Qt::AlignRight | Qt::AlignVCenter);
    item->setForeground(1, tree->palette().color(QPalette::PlaceholderText));
  }
  if (entries.isEmpty()) {
    auto* item = new QTreeWidgetItem(group, {nothing});
    item->setFlags(Qt::NoItemFlags);
    item->setFirstColumnSpanned(true);
  }
  group->setExpanded(true);
  return group;
}

}  // namespace

QList<LibraryEntry> unnamed_session_entries(int most) {
  QList<LibraryEntry> entries;
  for (const SessionFile& session : recorded_sessions()) {
    if (entries.size() == most) break;
    const QString stem = QString::fromStdString(session.path.stem().string());
    entries.append({LibraryEntry::Kind::kSession, session_title(stem), size_text(session.n_bytes),
                    QString::fromStdString(session.path.string())});
  }
  return entries;
}

QList<LibraryEntry> opened_file_entries(int most) {
  QList<LibraryEntry> entries;
  for (const QString& path : QSettings().value(QLatin1String(kOpenedKey)).toStringList()) {
    const QFileInfo file(path);
    if (entries.size() == most || !file.exists()) continue;
    entries.append(
        {LibraryEntry::Kind::kSession, file.completeBaseName(), size_text(static_cast<uint64_t>(file.size())), path});
  }
  return entries;
}

QList<LibraryEntry> model_entries() {
  QList<LibraryEntry> entries;
  const auto installed = installed_models();
  QStringList names;
  if (installed) {
    for (const InstalledModel& model : *installed) {
      names << QString::fromStdString(model.name);
      entries.append({LibraryEntry::Kind::kModel, names.last(), size_text(model.n_bytes),
                      QString::fromStdString(model.path.string())});
    }
  }
  for (const KnownModel& known : known_models()) {
    if (names.contains(QString::fromStdString(known.name))) continue;
    // A title may go on after a colon; the name before it is enough.
    entries.append({LibraryEntry::Kind::kKnownModel,
                    QObject::tr("Get %1").arg(QString::fromStdString(known.title).section(':', 0, 0)),
                    QStringLiteral("%1, %2").arg(QString::fromStdString(known.licence), size_text(known.file_bytes)),
                    QString::fromStdString(known.name)});
  }
  return entries;
}

void remember_opened_file(const QString& path) {
  QSettings settings;
  QStringList paths = settings.value(QLatin1String(kOpenedKey)).toStringList();
  paths.removeAll(path);
  paths.prepend(path);
  while (paths.size() > kMostOpened) paths.removeLast();
  settings.setValue(QLatin1String(kOpenedKey), paths);
}

LibraryPanel::LibraryPanel(QWidget* parent) : QWidget(parent) {
  tree_ = new QTreeWidget;
  tree_->setObjectName(QStringLiteral("library"));
  tree_->setAccessibleName(tr("Library"));
  tree_->setColumnCount(2);
  tree_->setHeaderHidden(true);
  tree_->setFrameShape(QFrame::NoFrame);
  tree_->setIndentation(10);
  tree_->setRootIsDecorated(false);
  tree_->header()->setStretchLastSection(false);
  tree_->header()->setSectionResizeMode(0, QHeaderView::Stretch);
  tree_->header()->setSectionResizeMode(1, QHeaderView::ResizeToContents);
  tree_->setFocusPolicy(Qt::ClickFocus);
  connect(tree_, &QTreeWidget::itemActivated, this, [this](QTreeWidgetItem* item) { activate(item); });

  fetch_label_ = new QLabel;
  fetch_label_->setTextFormat(Qt::PlainText);
  fetch_bar_ = new QProgressBar;
  fetch_bar_->setRange(0, 1000);
  fetch_bar_->setTextVisible(false);
  auto* cancel = new QToolButton;
  cancel->setText(tr("Cancel"));
  connect(cancel, &QToolButton::clicked, this, &LibraryPanel::cancel_fetch);
  fetch_row_ = new QWidget;
  auto* row = new QGridLayout(fetch_row_);
  row->setContentsMargins(6, 2, 6, 6);
  row->addWidget(fetch_label_, 0, 0, 1, 2);
  row->addWidget(fetch_bar_, 1, 0);
  row->addWidget(cancel, 1, 1);
  fetch_row_->hide();

  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(tree_, 1);
  layout->addWidget(fetch_row_);
  refresh();
}

void LibraryPanel::refresh() {
  tree_->clear();
  add_group(tree_, tr("Recorded runs"), unnamed_session_entries(60), tr("every run is kept here"));
  const QList<LibraryEntry> opened = opened_file_entries(kMostOpened);
  if (!opened.isEmpty()) add_group(tree_, tr("Session files"), opened, QString());
  add_group(tree_, tr("Models"), model_entries(), tr("none installed"));
}

void LibraryPanel::show_fetch(const QString& what, double share) {
  fetch_row_->setVisible(!what.isEmpty());
  fetch_label_->setText(what);
  fetch_bar_->setValue(static_cast<int>(share * 1000));
}

void LibraryPanel::activate(QTreeWidgetItem* item) {
  if (!item->data(0, kTargetRole).isValid()) return;
  const QString target = item->data(0, kTargetRole).toString();
  const auto kind = static_cast<LibraryEntry::Kind>(item->data(0, kKindRole).toInt());
  if (kind == LibraryEntry::Kind::kKnownModel) {
    Q_EMIT get(target);
  } else {
    Q_EMIT open(target);
  }
}

void LibraryPanel::contextMenuEvent(QContextMenuEvent* event) {
  QTreeWidgetItem* item = tree_->itemAt(tree_->viewport()->mapFromGlobal(event->globalPos()));
  if (item == nullptr || !item->data(0, kTargetRole).isValid()) return;
  const QString target = item->data(0, kTargetRole).toString();
  const auto kind = static_cast<LibraryEntry::Kind>(item->data(0, kKindRole).toInt());
  QMenu menu;
  menu.addAction(kind == LibraryEntry::Kind::kKnownModel ? tr("Get") : tr("Open"), this,
                 [this, item] { activate(item); });
  const bool in_use = WriterLock::is_taken(target.toStdString());
  if (kind == LibraryEntry::Kind::kSession && is_unnamed_session(target.toStdString()) && !in_use) {
    menu.addAction(tr("Remove"), this, [this, target] {
      for (const char* suffix : {"", "-wal", "-shm"}) QFile::remove(target + QLatin1String(suffix));
      Q_EMIT removed();
    });
  }
  menu.exec(event->globalPos());
}

}  // namespace orrery
