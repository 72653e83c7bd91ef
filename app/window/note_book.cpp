#include "app/window/note_book.h"

#include <QMetaObject>
#include <QUndoCommand>
#include <algorithm>
#include <chrono>

#include "views/view_state_json.h"

namespace orrery {

class NoteBook::Added final : public QUndoCommand {
 public:
  Added(NoteBook& book, BookNote note)
      : QUndoCommand(tr("note at step %1").arg(note.note.step)), book_(book), note_(std::move(note)) {}
  void redo() override { book_.put(note_); }
  void undo() override {
    if (const BookNote* now = book_.find(note_.key)) note_ = *now;
    book_.take(note_.key);
  }

 private:
  NoteBook& book_;
  BookNote note_;
};

class NoteBook::Removed final : public QUndoCommand {
 public:
  Removed(NoteBook& book, BookNote note)
      : QUndoCommand(tr("removed note at step %1").arg(note.note.step)), book_(book), note_(std::move(note)) {}
  void redo() override {
    if (const BookNote* now = book_.find(note_.key)) note_ = *now;
    book_.take(note_.key);
  }
  void undo() override { book_.put(note_); }

 private:
  NoteBook& book_;
  BookNote note_;
};

class NoteBook::Edited final : public QUndoCommand {
 public:
  Edited(NoteBook& book, const BookNote& note, std::string text)
      : QUndoCommand(tr("edit of the note at step %1").arg(note.note.step)),
        book_(book),
        key_(note.key),
        before_(note.note.text),
        after_(std::move(text)) {}
  void redo() override { book_.set_text(key_, after_); }
  void undo() override { book_.set_text(key_, before_); }

 private:
  NoteBook& book_;
  const uint64_t key_;
  const std::string before_, after_;
};

NoteBook::NoteBook(QObject* parent) : QObject(parent), thread_([this] { thread_main(); }) {}

NoteBook::~NoteBook() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void NoteBook::open(const std::string& path, int64_t run, std::vector<Note> stored) {
  undo_.clear();
  path_ = path;
  run_ = run;
  notes_.clear();
  for (Note& note : stored) notes_.push_back({.key = ++last_key_, .note = std::move(note), .unsaved = {}});
  refresh();
}

QString NoteBook::cannot_write() const {
  if (run_ == 0) return tr("There is no run to note anything at.");
  if (path_.empty()) return tr("Notes are kept in the session file, and this run is not recorded.");
  return {};
}

const BookNote* NoteBook::find(uint64_t key) const {
  const auto found = std::ranges::find(notes_, key, &BookNote::key);
  return found == notes_.end() ? nullptr : &*found;
}

void NoteBook::add(int64_t step, const std::string& text, const std::string& view_state) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  BookNote note{.key = ++last_key_, .note = {}, .unsaved = {}};
  note.note.run = run_;
  note.note.step = step;
  note.note.text = text;
  note.note.view_state = view_state;
  note.note.created_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  undo_.push(new Added(*this, std::move(note)));
}

void NoteBook::edit(uint64_t key, const std::string& text) {
  const BookNote* note = find(key);
  if (note != nullptr && note->note.text != text) undo_.push(new Edited(*this, *note, text));
}

void NoteBook::remove(uint64_t key) {
  if (const BookNote* note = find(key)) undo_.push(new Removed(*this, *note));
}

void NoteBook::put(const BookNote& note) {
  notes_.push_back(note);
  notes_.back().unsaved.clear();
  write(Write::Kind::kAdd, note);
  refresh();
}

void NoteBook::take(uint64_t key) {
  const auto found = std::ranges::find(notes_, key, &BookNote::key);
  if (found == notes_.end()) return;
  const BookNote note = *found;
  notes_.erase(found);
  write(Write::Kind::kDelete, note);
  refresh();
}

void NoteBook::set_text(uint64_t key, const std::string& text) {
  const auto found = std::ranges::find(notes_, key, &BookNote::key);
  if (found == notes_.end()) return;
  found->note.text = text;
  found->unsaved.clear();
  write(Write::Kind::kUpdate, *found);
  refresh();
}

void NoteBook::refresh() {
  std::ranges::stable_sort(notes_, {}, [](const BookNote& one) { return std::pair(one.note.step, one.key); });
  marks_.clear();
  for (const BookNote& one : notes_) {
    marks_.push_back({one.note.step, one.note.text, view_state_from_json(one.note.view_state, one.note.step)});
  }
  Q_EMIT changed();
}

// --- the file ---

void NoteBook::write(Write::Kind kind, const BookNote& note) {
  ++n_writing_;
  {
    const std::lock_guard lock(mutex_);
    writes_.push_back({kind, note.key, path_, note.note});
  }
  changed_.notify_all();
}

void NoteBook::written(uint64_t key, int64_t id, const std::string& error) {
  --n_writing_;
  const auto found = std::ranges::find(notes_, key, &BookNote::key);
  if (found != notes_.end() && id > 0) found->note.id = id;
  if (error.empty()) return;
  if (found != notes_.end()) found->unsaved = error;
  Q_EMIT failed(tr("The note was not saved: %1").arg(QString::fromStdString(error)));
  Q_EMIT changed();
}

void NoteBook::thread_main() {
  while (true) {
    Write write;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !writes_.empty(); });
      if (writes_.empty()) return;
      write = std::move(writes_.front());
      writes_.pop_front();
    }
    const Result<int64_t> id = carry_out(write);
    const std::string error = id ? std::string() : id.error().message;
    QMetaObject::invokeMethod(
        this, [this, key = write.key, id = id ? *id : 0, error] { written(key, id, error); }, Qt::QueuedConnection);
  }
}

Result<int64_t> NoteBook::carry_out(const Write& write) {
  if (write.note.id > 0) ids_.emplace(write.key, write.note.id);
  const auto known = ids_.find(write.key);
  Note note = write.note;
  note.id = known == ids_.end() ? 0 : known->second;
  switch (write.kind) {
    case Write::Kind::kAdd: {
      ORRERY_ASSIGN_OR_RETURN(note.id, add_note(write.path, note));
      ids_[write.key] = note.id;
      break;
    }
    case Write::Kind::kUpdate: {
      // One that could not be added before is tried again.
      if (note.id == 0) {
        ORRERY_ASSIGN_OR_RETURN(note.id, add_note(write.path, note));
        ids_[write.key] = note.id;
      } else {
        ORRERY_RETURN_IF_ERROR(update_note(write.path, note.id, note.text, note.view_state));
      }
      break;
    }
    case Write::Kind::kDelete:
      if (note.id > 0) ORRERY_RETURN_IF_ERROR(delete_note(write.path, note.id));
      break;
  }
  return note.id;
}

}  // namespace orrery
