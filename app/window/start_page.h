// StartPage: shown while no run is: what can be opened, and what to do first.
#pragma once

#include <QWidget>

class QLabel;
class QVBoxLayout;

namespace orrery {

struct LibraryEntry;

class StartPage final : public QWidget {
  Q_OBJECT
 public:
  explicit StartPage(QWidget* parent = nullptr);
  // Reads the library anew. `ready_model`: the model that is open, empty where none is.
  void refresh(const QString& ready_model, bool loading);

 Q_SIGNALS:
  void open_dialog();
  void open(QString path);
  void get(QString known_model);
  void go_on(QString stage);  // with a fetch that was broken off

 private:
  void add_entries(const QString& title, const QList<LibraryEntry>& entries);
  QLabel* heading_;
  QLabel* sentence_;
  QWidget* lists_;
  QVBoxLayout* list_layout_;
};

}  // namespace orrery
