// ModelFetch: plans and fetches a model on a thread of its own, with progress and cancel. UI thread only.
#pragma once

#include <QObject>
#include <QTimer>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "app/library/fetch.h"
#include "app/library/transfer_rate.h"

namespace orrery {

class ModelFetch final : public QObject {
  Q_OBJECT
 public:
  explicit ModelFetch(QObject* parent = nullptr);
  ~ModelFetch() override;  // cancels and waits

  bool running() const { return thread_.joinable(); }
  // Both do nothing while one of them runs. Nothing of a model is fetched by a plan.
  void plan(const FetchRequest& request);
  void start(const FetchPlan& plan, bool licence_accepted);
  void cancel() { cancel_.store(true); }

 Q_SIGNALS:
  void planned(orrery::FetchPlan plan);  // plan.installed: it is here already
  // `detail`: "12 of 98 MB, 4.1 MB/s, 20 s left". `share`: 0..1, below 0 where the whole is unknown.
  void progressed(QString detail, double share);
  void finished(QString path);
  void failed(QString sentence);  // of both; empty where it was cancelled

 private:
  void run(std::function<void(FetchOptions)> work);
  void deliver(std::function<void()> on_ui_thread);
  void fail(const Error& error);
  void show_progress();

  std::atomic<bool> cancel_{false};
  std::thread thread_;
  QTimer clock_;  // while it runs; so that a transfer that stalls is seen to
  TransferRate rate_;
  std::mutex mutex_;
  std::optional<FetchProgress> latest_;  // guarded by mutex_
};

// "12 of 98 MB"; "12 MB" where the whole is unknown (0).
QString part_text(uint64_t done_bytes, uint64_t n_bytes);
// "98.4 MB"
QString size_text(uint64_t n_bytes);

}  // namespace orrery
