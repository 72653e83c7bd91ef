// ModelFetch: brings a known model on a thread of its own, with progress and cancel. UI thread only.
#pragma once

#include <QObject>
#include <atomic>
#include <memory>
#include <thread>

#include "app/library/fetch.h"

namespace orrery {

class ModelFetch final : public QObject {
  Q_OBJECT
 public:
  explicit ModelFetch(QObject* parent = nullptr) : QObject(parent) {}
  ~ModelFetch() override;  // cancels and waits

  bool running() const { return thread_.joinable(); }
  void start(const KnownModel& model);  // does nothing while one is running
  void cancel() { cancel_.store(true); }

 Q_SIGNALS:
  void progressed(QString what, double share);  // 0..1
  void finished(QString path);
  void failed(QString sentence);  // empty where it was cancelled

 private:
  void run(const KnownModel& model);
  std::atomic<bool> cancel_{false};
  std::thread thread_;
};

}  // namespace orrery
