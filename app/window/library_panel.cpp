#include "app/window/library_panel.h"

#include <QContextMenuEvent>
#include <QDateTime>
#include <QFile>
#include <QFileInfo>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLabel>
#include <QLocale>
#include <QMenu>
#include <QMessageBox>
#include <QProgressBar>
#include <QPushButton>
#include <QSettings>
#include <QToolButton>
#include <QTreeWidget>
#include <QVBoxLayout>

#include "app/library/folders.h"
#include "app/library/installed_models.h"
#include "app/library/stage_folder.h"
#include "app/window/library_delegate.h"
#include "app/window/model_fetch.h"
#include "app/window/session_files.h"
#include "sessions/writer_lock.h"

namespace orrery {
namespace {

constexpr int kKindRole = Qt::UserRole;
constexpr int kTargetRole = Qt::UserRole + 1;
constexpr int kNameRole = Qt::UserRole + 2;
const char* const kOpenedKey = "opened_files";
constexpr int kMostOpened = 12;

// "2026-11-22 04.50.12 SmolLM2" reads "04:50 SmolLM2" today and "22 Nov 04:50 SmolLM2" later.
QString session_title(const QString& stem) {
  const QDateTime time = QDateTime::fromString(stem.left(19), QStringLiteral("yyyy-MM-dd HH.mm.ss"));
  if (!time.isValid()) return stem;
  const bool today = time.date() == QDate::currentDate();
  const QString when = QLocale::c().toString(time, today ? QStringLiteral("HH:mm") : QStringLiteral("d MMM HH:mm"));
  return when + QLatin1Char(' ') + stem.mid(20);
}

// Which item it was, also after a refresh.
QString identity_of(const QTreeWidgetItem* item) {
  return item == nullptr ? QString() : item->data(0, kTargetRole).toString();
}

LibraryEntry::Kind kind_of(const QTreeWidgetItem* item) {
  return static_cast<LibraryEntry::Kind>(item->data(0, kKindRole).toInt());
}

void add_group(QTreeWidget* tree, const QString& title, const QList<LibraryEntry>& entries, const QString& nothing) {
  auto* group = new QTreeWidgetItem(tree, {title});
  QFont bold = tree->font();
  bold.setBold(true);
  group->setFont(0, bold);
  group->setFlags(Qt::ItemIsEnabled);
  for (const LibraryEntry& entry : entries) {
    auto* item = new QTreeWidgetItem(group, {entry.title});
    item->setData(0, kKindRole, static_cast<int>(entry.kind));
    item->setData(0, kTargetRole, entry.target);
    item->setData(0, kNameRole, entry.name);
    item->setData(0, LibraryDelegate::kDetailRole, entry.detail);
    item->setData(0, LibraryDelegate::kNoteRole, entry.note);
    const QString tip = entry.tip.isEmpty() ? entry.target : entry.tip;
    item->setToolTip(0, QStringLiteral("<p>%1</p>").arg(tip.toHtmlEscaped().replace('\n', QStringLiteral("<br>"))));
    item->setData(0, Qt::AccessibleTextRole, QStringList{entry.title, entry.detail, entry.note}.join(", "));
  }
  if (entries.isEmpty()) {
    auto* item = new QTreeWidgetItem(group, {nothing});
    item->setFlags(Qt::NoItemFlags);
  }
  group->setExpanded(true);
}

QString licence_text(const std::string& licence) {
  return licence.empty() ? QObject::tr("licence unknown") : QString::fromStdString(licence);
}

}  // namespace

QList<LibraryEntry> unnamed_session_entries(int most) {
  QList<LibraryEntry> entries;
  for (const SessionFile& session : recorded_sessions()) {
    if (entries.size() == most) break;
    const QString stem = QString::fromStdString(session.path.stem().string());
    entries.append({.kind = LibraryEntry::Kind::kSession,
                    .title = session_title(stem),
                    .detail = size_text(session.n_bytes),
                    .target = QString::fromStdString(session.path.string())});
  }
  return entries;
}

QList<LibraryEntry> opened_file_entries(int most) {
  QList<LibraryEntry> entries;
  for (const QString& path : QSettings().value(QLatin1String(kOpenedKey)).toStringList()) {
    const QFileInfo file(path);
    if (entries.size() == most || !file.exists()) continue;
    entries.append({.kind = LibraryEntry::Kind::kSession,
                    .title = file.completeBaseName(),
                    .detail = size_text(static_cast<uint64_t>(file.size())),
                    .target = path});
  }
  return entries;
}

QList<LibraryEntry> model_entries() {
  QList<LibraryEntry> entries;
  QStringList names;
  const auto installed = installed_models();
  for (const InstalledModel& model : installed ? *installed : std::vector<InstalledModel>{}) {
    names << QString::fromStdString(model.name);
    const QString path = QString::fromStdString(model.path.string());
    const QString source = QString::fromStdString(model.source);
    entries.append({.kind = LibraryEntry::Kind::kModel,
                    .title = names.last(),
                    .detail = size_text(model.n_bytes),
                    .note = licence_text(model.licence),
                    .target = path,
                    .name = names.last(),
                    .tip = source.isEmpty() ? path : QObject::tr("%1\nfrom %2").arg(path, source)});
  }
  const auto folder = models_folder();
  for (const UnfinishedFetch& fetch : folder ? unfinished_fetches(*folder) : std::vector<UnfinishedFetch>{}) {
    if (StageFolder::is_busy(fetch.path)) continue;  // it is being fetched just now, and shown where that is shown
    names << QString::fromStdString(fetch.name);
    entries.append({.kind = LibraryEntry::Kind::kPartModel,
                    .title = QObject::tr("Go on: %1").arg(names.last()),
                    .detail = {},
                    .note = QObject::tr("%1 fetched").arg(part_text(fetch.done_bytes, fetch.n_bytes)),
                    .target = QString::fromStdString(fetch.path.string()),
                    .name = names.last()});
  }
  for (const KnownModel& known : known_models()) {
    if (names.contains(QString::fromStdString(known.name))) continue;
    // A title may go on after a colon; the name before it is enough.
    entries.append({.kind = LibraryEntry::Kind::kKnownModel,
                    .title = QObject::tr("Get %1").arg(QString::fromStdString(known.title).section(':', 0, 0)),
                    .detail = size_text(known.file_bytes),
                    .note = QString::fromStdString(known.licence),
                    .target = QString::fromStdString(known.name),
                    .tip = QString::fromStdString(known.title)});
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
  build_tree();
  fetch_row_ = build_fetch_row();
  auto* get_button = new QPushButton(tr("Get a model…"));
  get_button->setObjectName(QStringLiteral("library_get"));
  get_button->setToolTip(tr("A known model, a Hugging Face repository, or the address of a .gguf file"));
  connect(get_button, &QPushButton::clicked, this, [this] { Q_EMIT get(QString()); });
  auto* bottom = new QHBoxLayout;
  bottom->setContentsMargins(6, 4, 6, 6);
  bottom->addWidget(get_button);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(tree_, 1);
  layout->addWidget(fetch_row_);
  layout->addLayout(bottom);
  refresh();
}

void LibraryPanel::build_tree() {
  tree_ = new QTreeWidget;
  tree_->setObjectName(QStringLiteral("library"));
  tree_->setAccessibleName(tr("Library"));
  tree_->setColumnCount(1);
  tree_->setHeaderHidden(true);
  tree_->setFrameShape(QFrame::NoFrame);
  tree_->setIndentation(10);
  tree_->setRootIsDecorated(false);
  tree_->setItemDelegate(new LibraryDelegate(tree_));
  tree_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  tree_->header()->setSectionResizeMode(0, QHeaderView::Stretch);
  tree_->installEventFilter(this);
  connect(tree_, &QTreeWidget::itemActivated, this, [this](QTreeWidgetItem* item) { activate(item); });
}

QWidget* LibraryPanel::build_fetch_row() {
  const auto plain_label = [](const char* name) {
    auto* label = new QLabel;
    label->setObjectName(QLatin1String(name));
    label->setTextFormat(Qt::PlainText);
    label->setWordWrap(true);
    return label;
  };
  fetch_name_ = plain_label("fetch_name");
  QFont bold = fetch_name_->font();
  bold.setBold(true);
  fetch_name_->setFont(bold);
  fetch_detail_ = plain_label("fetch_detail");
  fetch_bar_ = new QProgressBar;
  fetch_bar_->setObjectName(QStringLiteral("fetch_bar"));
  fetch_bar_->setTextVisible(false);
  fetch_bar_->setFixedHeight(10);
  fetch_bar_->setAccessibleName(tr("How much of the model is fetched"));
  auto* cancel = new QToolButton;
  cancel->setObjectName(QStringLiteral("fetch_cancel"));
  cancel->setText(tr("Cancel"));
  cancel->setToolTip(tr("Stops; what was fetched is kept, and can be gone on with"));
  cancel->setFocusPolicy(Qt::StrongFocus);
  connect(cancel, &QToolButton::clicked, this, &LibraryPanel::cancel_fetch);
  auto* row = new QWidget;
  auto* grid = new QGridLayout(row);
  grid->setContentsMargins(6, 6, 6, 2);
  grid->setVerticalSpacing(3);
  grid->addWidget(fetch_name_, 0, 0, 1, 2);
  grid->addWidget(fetch_detail_, 1, 0, 1, 2);
  grid->addWidget(fetch_bar_, 2, 0);
  grid->addWidget(cancel, 2, 1);
  grid->setColumnStretch(0, 1);
  row->hide();
  return row;
}

void LibraryPanel::refresh() {
  const QString current = identity_of(tree_->currentItem());
  tree_->clear();
  add_group(tree_, tr("Models"), model_entries(), tr("none"));
  const QList<LibraryEntry> opened = opened_file_entries(kMostOpened);
  if (!opened.isEmpty()) add_group(tree_, tr("Session files"), opened, QString());
  add_group(tree_, tr("Recorded runs"), unnamed_session_entries(60), tr("every run is kept here"));
  if (current.isEmpty()) return;
  for (QTreeWidgetItemIterator it(tree_); *it != nullptr; ++it) {
    if (identity_of(*it) == current) tree_->setCurrentItem(*it);
  }
}

void LibraryPanel::show_fetch(const QString& name, const QString& detail, double share) {
  fetch_row_->setVisible(!name.isEmpty());
  fetch_name_->setText(name);
  fetch_detail_->setText(detail);
  fetch_bar_->setRange(0, share < 0 ? 0 : 1000);  // without a range it shows that something goes on
  fetch_bar_->setValue(static_cast<int>(share * 1000));
}

void LibraryPanel::activate(QTreeWidgetItem* item) {
  if (!item->data(0, kTargetRole).isValid()) return;
  const QString target = identity_of(item);
  switch (kind_of(item)) {
    case LibraryEntry::Kind::kKnownModel:
      return Q_EMIT get(target);
    case LibraryEntry::Kind::kPartModel:
      return Q_EMIT go_on(target);
    case LibraryEntry::Kind::kModel:
    case LibraryEntry::Kind::kSession:
      return Q_EMIT open(target);
  }
}

bool LibraryPanel::can_remove(const QTreeWidgetItem* item) const {
  if (item == nullptr || !item->data(0, kTargetRole).isValid()) return false;
  if (kind_of(item) == LibraryEntry::Kind::kKnownModel) return false;
  if (kind_of(item) != LibraryEntry::Kind::kSession) return true;
  const std::string path = identity_of(item).toStdString();
  return is_unnamed_session(path) && !WriterLock::is_taken(path);
}

void LibraryPanel::remove(QTreeWidgetItem* item) {
  const QString target = identity_of(item);
  const QString name = item->data(0, kNameRole).toString();
  const bool is_model = kind_of(item) != LibraryEntry::Kind::kSession;
  QMessageBox box(QMessageBox::Question, is_model ? tr("Remove a model") : tr("Remove a recorded run"), {},
                  QMessageBox::Cancel, this);
  box.setObjectName(QStringLiteral("confirm_remove"));
  box.setTextFormat(Qt::PlainText);
  const QString size = item->data(0, LibraryDelegate::kDetailRole).toString();
  box.setText(tr("Remove %1 from this computer?").arg(is_model ? name : item->text(0)));
  box.setInformativeText(
      kind_of(item) == LibraryEntry::Kind::kPartModel
          ? tr("What was fetched of it is deleted: %1").arg(item->data(0, LibraryDelegate::kNoteRole).toString())
          : tr("%1 are deleted: %2").arg(size, target));
  QPushButton* yes = box.addButton(tr("Remove"), QMessageBox::DestructiveRole);
  box.setDefaultButton(QMessageBox::Cancel);
  box.exec();
  if (box.clickedButton() != yes) return;
  if (is_model) {
    const auto folder = models_folder();
    const Result<uint64_t> freed = folder ? remove_model(name.toStdString(), *folder) : folder.error();
    if (!freed) Q_EMIT failed(QString::fromStdString(freed.error().message));
  } else {
    for (const char* suffix : {"", "-wal", "-shm"}) QFile::remove(target + QLatin1String(suffix));
  }
  Q_EMIT removed();
}

void LibraryPanel::show_menu(QTreeWidgetItem* item, const QPoint& at) {
  if (item == nullptr || !item->data(0, kTargetRole).isValid()) return;
  const LibraryEntry::Kind kind = kind_of(item);
  QMenu menu;
  menu.addAction(kind == LibraryEntry::Kind::kKnownModel  ? tr("Get…")
                 : kind == LibraryEntry::Kind::kPartModel ? tr("Go on fetching")
                                                          : tr("Open"),
                 this, [this, item] { activate(item); });
  if (can_remove(item))
    menu.addAction(tr("Remove…"), QKeySequence(Qt::Key_Delete), this, [this, item] { remove(item); });
  menu.exec(at);
}

void LibraryPanel::contextMenuEvent(QContextMenuEvent* event) {
  if (event->reason() == QContextMenuEvent::Keyboard) {
    QTreeWidgetItem* item = tree_->currentItem();
    if (item == nullptr) return;
    return show_menu(item, tree_->viewport()->mapToGlobal(tree_->visualItemRect(item).bottomLeft()));
  }
  show_menu(tree_->itemAt(tree_->viewport()->mapFromGlobal(event->globalPos())), event->globalPos());
}

// Delete removes what is chosen in the tree.
bool LibraryPanel::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::KeyPress && static_cast<QKeyEvent*>(event)->key() == Qt::Key_Delete) {
    if (can_remove(tree_->currentItem())) remove(tree_->currentItem());
    return true;
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace orrery
