#include "app/window/model_fetch.h"

#include <QMetaObject>

#include "app/library/folders.h"

namespace orrery {
namespace {

QString describe(const FetchProgress& progress) {
  const double mb = static_cast<double>(progress.done_bytes) * 1e-6;
  const double total_mb = static_cast<double>(progress.total_bytes) * 1e-6;
  const char* what = progress.stage == FetchStage::kDownloading ? "downloading"
                     : progress.stage == FetchStage::kUnpacking ? "unpacking"
                                                                : "checking";
  return QStringLiteral("%1 %2 of %3 MB").arg(QLatin1String(what)).arg(mb, 0, 'f', 0).arg(total_mb, 0, 'f', 0);
}

}  // namespace

ModelFetch::~ModelFetch() {
  cancel_.store(true);
  if (thread_.joinable()) thread_.join();
}

void ModelFetch::start(const KnownModel& model) {
  if (running()) return;
  cancel_.store(false);
  thread_ = std::thread([this, model] { run(model); });
}

void ModelFetch::run(const KnownModel& model) {
  const auto folder = models_folder();
  FetchOptions options;
  options.cancel = &cancel_;
  options.progress = [this](const FetchProgress& progress) {
    const double share = progress.total_bytes == 0
                             ? 0
                             : static_cast<double>(progress.done_bytes) / static_cast<double>(progress.total_bytes);
    const QString what = describe(progress);
    QMetaObject::invokeMethod(
        this, [this, what, share] { Q_EMIT progressed(what, share); }, Qt::QueuedConnection);
  };
  Result<std::filesystem::path> path = folder ? std::filesystem::path() : Result<std::filesystem::path>(folder.error());
  if (folder) {
    options.folder = *folder;
    path = fetch_model(model, options);
  }
  QMetaObject::invokeMethod(
      this,
      [this, path] {
        thread_.join();
        if (path) return Q_EMIT finished(QString::fromStdString(path->string()));
        const bool cancelled = path.error().code == ErrorCode::kCancelled;
        Q_EMIT failed(cancelled ? QString() : QString::fromStdString(path.error().message));
      },
      Qt::QueuedConnection);
}

}  // namespace orrery
