// NoteBook: the notes of the run that is shown, with undo. What is done shows at once; the session file is written on a
// thread of its own, in order, so that a slow disk holds up nobody. UI thread.
#pragma once

#include <QObject>
#include <QUndoStack>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sessions/session_notes.h"
#include "views/view.h"

namespace orrery {

struct BookNote {
  uint64_t key = 0;     // of this program; a note has its id once it is written
  Note note;            // id 0: not written yet
  std::string unsaved;  // why it could not be written; empty where it was, or will be
};

class NoteBook final : public QObject {
  Q_OBJECT
 public:
  explicit NoteBook(QObject* parent = nullptr);
  ~NoteBook() override;  // waits until everything is written

  // Another run is shown: its notes, and where further ones go. Undo starts over.
  void open(const std::string& path, int64_t run, std::vector<Note> stored);
  // The session has another name now. Not while busy().
  void move_to(const std::string& path) { path_ = path; }
  // Why no note can be written; empty where one can.
  QString cannot_write() const;

  // By step, then by age.
  const std::vector<BookNote>& notes() const { return notes_; }
  const BookNote* find(uint64_t key) const;
  // For the timeline; valid until the next change.
  const std::vector<NoteMark>& marks() const { return marks_; }

  // Each can be undone.
  void add(int64_t step, const std::string& text, const std::string& view_state);
  void edit(uint64_t key, const std::string& text);
  void remove(uint64_t key);
  QUndoStack& undo_stack() { return undo_; }

  bool busy() const { return n_writing_ > 0; }

 Q_SIGNALS:
  void changed();
  void failed(QString sentence);

 private:
  class Added;
  class Edited;
  class Removed;
  struct Write {
    enum class Kind : uint8_t { kAdd, kUpdate, kDelete } kind = Kind::kAdd;
    uint64_t key = 0;
    std::string path;
    Note note;
  };
  void put(const BookNote& note);  // inserts it and writes it
  void take(uint64_t key);         // the reverse
  void set_text(uint64_t key, const std::string& text);
  void write(Write::Kind kind, const BookNote& note);
  void written(uint64_t key, int64_t id, const std::string& error);
  void refresh();
  void thread_main();
  Result<int64_t> carry_out(const Write& write);

  std::string path_;
  int64_t run_ = 0;
  std::vector<BookNote> notes_;
  std::vector<NoteMark> marks_;
  QUndoStack undo_;
  uint64_t last_key_ = 0;
  int n_writing_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Write> writes_;
  bool stop_ = false;
  std::map<uint64_t, int64_t> ids_;  // of notes by key; writing thread only
  std::thread thread_;
};

}  // namespace orrery
