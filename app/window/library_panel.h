// LibraryPanel: what there is to open: unnamed recordings, files opened before, models installed and to be had.
#pragma once

#include <QWidget>

#include "app/library/known_models.h"

class QLabel;
class QProgressBar;
class QToolButton;
class QTreeWidget;
class QTreeWidgetItem;

namespace orrery {

// One thing that can be opened or fetched.
struct LibraryEntry {
  enum class Kind { kSession, kModel, kKnownModel };
  Kind kind = Kind::kSession;
  QString title;
  QString detail;  // size, time, licence
  QString target;  // a path, or a known model's name
};
// Newest first, at most `most`.
QList<LibraryEntry> unnamed_session_entries(int most);
QList<LibraryEntry> opened_file_entries(int most);  // sessions that were opened or saved by name, from the settings
QList<LibraryEntry> model_entries();                // installed ones, then those that can be fetched
void remember_opened_file(const QString& path);

class LibraryPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit LibraryPanel(QWidget* parent = nullptr);
  void refresh();
  // Progress of a fetch; an empty text hides it.
  void show_fetch(const QString& what, double share);

 Q_SIGNALS:
  void open(QString path);
  void get(QString known_model);
  void cancel_fetch();
  void removed();

 protected:
  void contextMenuEvent(QContextMenuEvent* event) override;

 private:
  void activate(QTreeWidgetItem* item);
  QTreeWidget* tree_;
  QWidget* fetch_row_;
  QLabel* fetch_label_;
  QProgressBar* fetch_bar_;
};

}  // namespace orrery
