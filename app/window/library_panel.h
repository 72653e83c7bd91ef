// LibraryPanel: what there is to open: models installed, fetched in part and to be had; unnamed recordings; files
// opened before.
#pragma once

#include <QWidget>

#include "app/library/known_models.h"

class QLabel;
class QProgressBar;
class QPushButton;
class QToolButton;
class QTreeWidget;
class QTreeWidgetItem;

namespace orrery {

// One thing that can be opened or fetched.
struct LibraryEntry {
  // kPartModel: a fetch of it was broken off; kKnownModel: it can be fetched.
  enum class Kind { kSession, kModel, kPartModel, kKnownModel };
  Kind kind = Kind::kSession;
  QString title;
  QString detail;     // size or time, beside the title
  QString note = {};  // a second line: licence, how far a fetch came
  QString target;     // a path; a known model's name
  QString name = {};  // of a model that can be removed
  QString tip = {};   // more about it; empty: the target
};
// Newest first, at most `most`.
QList<LibraryEntry> unnamed_session_entries(int most);
QList<LibraryEntry> opened_file_entries(int most);  // sessions that were opened or saved by name, from the settings
QList<LibraryEntry> model_entries();                // installed ones, those fetched in part, those that can be fetched
void remember_opened_file(const QString& path);

class LibraryPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit LibraryPanel(QWidget* parent = nullptr);
  void refresh();
  // Progress of a fetch: what is fetched, how far it is, and the share (below 0: unknown). An empty name hides it.
  void show_fetch(const QString& name, const QString& detail, double share);

 Q_SIGNALS:
  void open(QString path);
  void get(QString what);     // empty: let the user say what
  void go_on(QString stage);  // with the fetch that was broken off there
  void cancel_fetch();
  void removed();
  void failed(QString sentence);

 protected:
  void contextMenuEvent(QContextMenuEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void build_tree();
  QWidget* build_fetch_row();
  void activate(QTreeWidgetItem* item);
  void remove(QTreeWidgetItem* item);
  bool can_remove(const QTreeWidgetItem* item) const;
  void show_menu(QTreeWidgetItem* item, const QPoint& at);

  QTreeWidget* tree_;
  QWidget* fetch_row_;
  QLabel* fetch_name_;
  QLabel* fetch_detail_;
  QProgressBar* fetch_bar_;
};

}  // namespace orrery
