// NotesPanel: the notes of the run that is shown: where, what, when; a click looks again as when it was written.
#pragma once

#include <QWidget>
#include <optional>

#include "app/window/note_book.h"

class QLabel;
class QPushButton;
class QTreeWidget;
class QTreeWidgetItem;

namespace orrery {

// Asks for a note's text; none where the user thought better of it.
std::optional<QString> ask_for_note(QWidget* parent, const QString& title, const QString& text);

class NotesPanel final : public QWidget {
  Q_OBJECT
 public:
  // The book outlives the panel.
  explicit NotesPanel(NoteBook& book, QWidget* parent = nullptr);

 Q_SIGNALS:
  void add();                     // a note at the selected step
  void look_again(uint64_t key);  // as when the note was written

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void refresh();
  void refresh_buttons();
  uint64_t current_key() const;  // 0: none
  void edit();
  void remove();

  NoteBook& book_;
  QTreeWidget* tree_;
  QLabel* none_;
  QPushButton* add_;
  QPushButton* edit_;
  QPushButton* remove_;
};

}  // namespace orrery
