#include "app/commands/fetch_command.h"

#include <unistd.h>

#include <iostream>

#include "app/commands/console.h"
#include "app/library/folders.h"
#include "app/library/stage_folder.h"
#include "app/library/transfer_rate.h"

namespace orrery {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kQuietEvery{30};  // between lines where there is no terminal

const char* stage_name(FetchStage stage) {
  switch (stage) {
    case FetchStage::kAsking:
      return "asking";
    case FetchStage::kDownloading:
      return "downloading";
    case FetchStage::kUnpacking:
      return "unpacking";
    case FetchStage::kChecking:
      break;
  }
  return "checking";
}

std::string time_text(std::chrono::seconds time) {
  const int64_t seconds = time.count();
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
  return std::to_string(seconds / 3600) + " h " + std::to_string(seconds % 3600 / 60) + " min";
}

// "downloading model.gguf: 12.0 MiB of 93.8 MiB, 4.1 MiB/s, 20 s left"
class FetchLine {
 public:
  void show(const FetchProgress& progress) {
    const Clock::time_point now = Clock::now();
    if (progress.stage == FetchStage::kDownloading) rate_.add(progress.done_bytes, now);
    if (shown_any_ && now - shown_ < std::chrono::milliseconds(100)) return;
    shown_any_ = true;
    shown_ = now;
    const std::string line = text(progress);
    show_progress(line);
    if (isatty(STDERR_FILENO) == 0 && progress.stage == FetchStage::kDownloading && now - quiet_ >= kQuietEvery) {
      quiet_ = now;
      say(line);
    }
  }

 private:
  std::string text(const FetchProgress& progress) const {
    std::string line = stage_name(progress.stage);
    if (!progress.file.empty()) line += " " + progress.file;
    if (progress.stage == FetchStage::kAsking) return line;
    line += (progress.file.empty() ? " " : ": ") + bytes_text(static_cast<int64_t>(progress.done_bytes));
    if (progress.total_bytes > 0) line += " of " + bytes_text(static_cast<int64_t>(progress.total_bytes));
    if (progress.stage != FetchStage::kDownloading) return line;
    const double rate = rate_.bytes_per_s();
    if (rate > 0) line += ", " + bytes_text(static_cast<int64_t>(rate)) + "/s";
    if (const auto left = rate_.time_left(progress.total_bytes)) line += ", " + time_text(*left) + " left";
    return line;
  }

  TransferRate rate_;
  bool shown_any_ = false;
  Clock::time_point shown_;
  Clock::time_point quiet_ = Clock::now();
};

void say_what_comes(const FetchPlan& plan) {
  const auto n_bytes = plan.n_bytes();
  std::string size = n_bytes ? ", " + bytes_text(static_cast<int64_t>(*n_bytes)) : "";
  if (plan.files.size() > 1) size += " in " + std::to_string(plan.files.size()) + " files";
  say(plan.title + size + ", from " + plan.source);
  say("licence: " + plan.licence.name + ". " + plan.licence.text);
}

// Whether the user says yes. Where nobody can be asked, naming a model whose terms were just shown is a yes.
bool asked_and_accepted() {
  if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) return true;
  std::cerr << "Do you accept this licence? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

// An interrupted or failed fetch leaves what it has, and says so.
Error with_hint(Error error, const FetchPlan& plan) {
  std::error_code ignored;
  const std::filesystem::path stage = std::filesystem::path(plan.target) += ".part";
  const bool kept = std::filesystem::exists(stage, ignored);
  if (error.code == ErrorCode::kCancelled) {
    error.message = "stopped" +
                    std::string(kept ? "; what was fetched is kept, and the same command goes on from there: " : ": ") +
                    plan.request.what;
  } else if (error.code == ErrorCode::kIo && kept) {
    error.message += " (what was fetched is kept, and the same command goes on from there)";
  }
  return error;
}

}  // namespace

Result<FetchPlan> fetch_with_progress(const FetchRequest& request, bool licence_accepted) {
  FetchLine line;
  FetchOptions options;
  ORRERY_ASSIGN_OR_RETURN(options.folder, models_folder());
  options.progress = [&line](const FetchProgress& progress) { line.show(progress); };
  options.cancel = &interrupted();
  Result<FetchPlan> plan = plan_fetch(request, options);
  show_progress({});
  if (!plan || plan->installed) return plan;
  say_what_comes(*plan);
  options.licence_accepted = licence_accepted || (plan->licence.must_be_accepted && asked_and_accepted());
  const Result<std::filesystem::path> path = run_fetch(*plan, options);
  show_progress({});
  if (!path) return with_hint(path.error(), *plan);
  return plan;
}

}  // namespace orrery
