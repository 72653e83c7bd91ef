// Aside: work that may wait for the disk, done on a thread of its own; its result is handled on the UI thread.
#pragma once

#include <QMetaObject>
#include <QObject>
#include <map>
#include <memory>
#include <thread>

namespace orrery {

// UI thread. Owned by the object that it works for: the destructor waits for what is at work, and drops its results.
class Aside final : public QObject {
 public:
  using QObject::QObject;
  ~Aside() override {
    for (auto& [tag, thread] : threads_) thread.join();
  }

  // `work` on another thread, then `done` with its result on this one.
  template <typename Work, typename Done>
  void run(Work work, Done done) {
    const uint64_t tag = ++last_tag_;
    threads_[tag] = std::thread([this, tag, work = std::move(work), done = std::move(done)]() mutable {
      auto result = std::make_shared<decltype(work())>(work());
      QMetaObject::invokeMethod(
          this,
          [this, tag, result, done = std::move(done)]() mutable {
            threads_.at(tag).join();
            threads_.erase(tag);
            done(std::move(*result));
          },
          Qt::QueuedConnection);
    });
  }
  bool busy() const { return !threads_.empty(); }

 private:
  std::map<uint64_t, std::thread> threads_;
  uint64_t last_tag_ = 0;
};

}  // namespace orrery
