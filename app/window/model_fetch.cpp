#include "app/window/model_fetch.h"

#include <QLocale>
#include <QMetaObject>

#include "app/library/folders.h"

namespace orrery {
namespace {

constexpr std::chrono::milliseconds kShowEvery{100};

QString time_text(std::chrono::seconds time) {
  const auto seconds = static_cast<qlonglong>(time.count());
  if (seconds < 60) return ModelFetch::tr("%1 s left").arg(seconds);
  if (seconds < 3600) return ModelFetch::tr("%1 min left").arg((seconds + 59) / 60);
  return ModelFetch::tr("%1 h %2 min left").arg(seconds / 3600).arg(seconds % 3600 / 60);
}

QString describe(const FetchProgress& progress, const TransferRate& rate) {
  switch (progress.stage) {
    case FetchStage::kAsking:
      return ModelFetch::tr("connecting");
    case FetchStage::kUnpacking:
      return ModelFetch::tr("unpacking, %1").arg(part_text(progress.done_bytes, progress.total_bytes));
    case FetchStage::kChecking:
      return ModelFetch::tr("checking, %1").arg(part_text(progress.done_bytes, progress.total_bytes));
    case FetchStage::kDownloading:
      break;
  }
  QString text = part_text(progress.done_bytes, progress.total_bytes);
  if (rate.bytes_per_s() > 0) {
    text += ModelFetch::tr(", %1/s").arg(size_text(static_cast<uint64_t>(rate.bytes_per_s())));
  }
  if (const auto left = rate.time_left(progress.total_bytes)) text += QStringLiteral(", ") + time_text(*left);
  return text;
}

}  // namespace

QString size_text(uint64_t n_bytes) {
  return QLocale::c().formattedDataSize(static_cast<qint64>(n_bytes), 1, QLocale::DataSizeSIFormat);
}

QString part_text(uint64_t done_bytes, uint64_t n_bytes) {
  if (n_bytes == 0) return size_text(done_bytes);
  const double mb = static_cast<double>(done_bytes) * 1e-6;
  const double total_mb = static_cast<double>(n_bytes) * 1e-6;
  const int digits = total_mb < 10 ? 1 : 0;
  return ModelFetch::tr("%1 of %2 MB").arg(mb, 0, 'f', digits).arg(total_mb, 0, 'f', digits);
}

ModelFetch::ModelFetch(QObject* parent) : QObject(parent) {
  clock_.setInterval(kShowEvery);
  connect(&clock_, &QTimer::timeout, this, &ModelFetch::show_progress);
}

ModelFetch::~ModelFetch() {
  cancel_.store(true);
  if (thread_.joinable()) thread_.join();
}

void ModelFetch::run(std::function<void(FetchOptions)> work) {
  cancel_.store(false);
  rate_ = {};
  latest_.reset();
  clock_.start();
  thread_ = std::thread([this, work = std::move(work)] {
    const auto folder = models_folder();
    if (!folder) return fail(folder.error());
    FetchOptions options;
    options.folder = *folder;
    options.cancel = &cancel_;
    options.progress = [this](const FetchProgress& progress) {
      const std::lock_guard lock(mutex_);
      latest_ = progress;
    };
    work(std::move(options));
  });
}

void ModelFetch::plan(const FetchRequest& request) {
  if (running()) return;
  run([this, request](const FetchOptions& options) {
    const Result<FetchPlan> result = plan_fetch(request, options);
    if (!result) return fail(result.error());
    deliver([this, plan = *result] { Q_EMIT planned(plan); });
  });
}

void ModelFetch::start(const FetchPlan& plan, bool licence_accepted) {
  if (running()) return;
  run([this, plan, licence_accepted](FetchOptions options) {
    options.licence_accepted = licence_accepted;
    const Result<std::filesystem::path> path = run_fetch(plan, options);
    if (!path) return fail(path.error());
    deliver([this, text = QString::fromStdString(path->string())] { Q_EMIT finished(text); });
  });
}

// The fetching thread's last deed.
void ModelFetch::deliver(std::function<void()> on_ui_thread) {
  QMetaObject::invokeMethod(
      this,
      [this, act = std::move(on_ui_thread)] {
        thread_.join();
        clock_.stop();
        act();
      },
      Qt::QueuedConnection);
}

void ModelFetch::fail(const Error& error) {
  const QString sentence = error.code == ErrorCode::kCancelled ? QString() : QString::fromStdString(error.message);
  deliver([this, sentence] { Q_EMIT failed(sentence); });
}

void ModelFetch::show_progress() {
  std::optional<FetchProgress> progress;
  {
    const std::lock_guard lock(mutex_);
    progress = latest_;
  }
  if (!progress) return;
  if (progress->stage == FetchStage::kDownloading) rate_.add(progress->done_bytes, std::chrono::steady_clock::now());
  const double share = progress->total_bytes == 0
                           ? -1
                           : static_cast<double>(progress->done_bytes) / static_cast<double>(progress->total_bytes);
  Q_EMIT progressed(describe(*progress, rate_), share);
}

}  // namespace orrery
