#include "app/library/download.h"

#include <algorithm>

#include "app/library/part_file.h"
#include "app/library/sha256.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kRealProgress = uint64_t{1} << 20;
constexpr std::chrono::milliseconds kLongestWait{60'000};
constexpr int kMostRestarts = 3;

enum class Step { kWhole, kAgain, kAnew };  // what to do after one request: check it, go on, or begin from nothing

class FileDownload {
 public:
  FileDownload(const Download& what, const DownloadOptions& options, PartFile part)
      : what_(what), options_(options), part_(std::move(part)), shown_(what.request.address.shown()) {}

  Result<Downloaded> run() {
    if (!can_go_on())
      ORRERY_RETURN_IF_ERROR(part_.begin({.address = shown_, .etag = {}, .last_modified = {}, .n_bytes = {}}));
    for (int n_tries = 1; !is_whole();) {
      const uint64_t before = part_.n_bytes();
      ORRERY_ASSIGN_OR_RETURN(const Step step, request_once());
      if (step == Step::kWhole) break;
      if (part_.n_bytes() >= before + kRealProgress) n_tries = 0;
      if (n_tries++ >= options_.most_tries) return *passed_;
      if (step == Step::kAnew) continue;
      if (!wait_unless_cancelled(waiting_time(n_tries), options_.cancel)) return cancelled();
    }
    return check();
  }

 private:
  // Whether what is there can be the beginning of what is asked for, and there is a way to prove it.
  bool can_go_on() const {
    const auto& origin = part_.origin();
    if (part_.n_bytes() == 0 || !origin || origin->address != shown_) return false;
    if (what_.n_bytes &&
        (part_.n_bytes() > *what_.n_bytes || (origin->n_bytes && *origin->n_bytes != *what_.n_bytes))) {
      return false;
    }
    return !origin->validator().empty() || !what_.sha256.empty();
  }

  std::optional<uint64_t> expected() const {
    if (what_.n_bytes) return what_.n_bytes;
    return part_.origin() ? part_.origin()->n_bytes : std::nullopt;
  }

  bool is_whole() const { return part_.n_bytes() > 0 && expected() == part_.n_bytes(); }

  Result<Step> request_once() {
    HttpRequest request = what_.request;
    request.offset = part_.n_bytes();
    if (request.offset > 0) request.if_range = part_.origin()->validator();
    changed_ = false;
    HttpSink sink;
    sink.begin = [&](const HttpReply& reply) {
      return reply.status == 206 ? begin_rest(reply, request.offset) : begin_whole(reply);
    };
    sink.take_bytes = [&](std::string_view bytes) { return take(bytes); };
    report(FetchStage::kDownloading, part_.n_bytes());
    const HttpOutcome outcome = http_get(request, sink, options_.patience, options_.cancel);
    const int status = outcome.reply.status;
    if (changed_ || (!outcome.failure && status == 416 && request.offset > 0)) return start_anew();
    if (outcome.failure) {
      const ErrorCode code = outcome.failure->code;
      // A part of what is wrong must not be found whole, and believed, the next time.
      if (code == ErrorCode::kMismatch || code == ErrorCode::kInvalidFile) part_.discard();
      if (!outcome.passing) return *outcome.failure;
      passed_ = outcome.failure;
      return Step::kAgain;
    }
    if (status == 200 || status == 206) return after_body();
    passed_ = status_error(outcome.reply);
    if (!is_passing_status(status)) return *passed_;
    retry_after_ = outcome.reply.retry_after_s;
    return Step::kAgain;
  }

  Result<Step> start_anew() {
    ORRERY_RETURN_IF_ERROR(part_.begin({.address = shown_, .etag = {}, .last_modified = {}, .n_bytes = {}}));
    passed_ = Error{ErrorCode::kIo, "the server sends another file each time: " + shown_};
    if (++n_restarts_ > kMostRestarts) return *passed_;
    return Step::kAnew;
  }

  // Without a length, the end of the connection is the end of the file.
  Result<Step> after_body() {
    const auto n_bytes = expected();
    if (!n_bytes || *n_bytes == part_.n_bytes()) return Step::kWhole;
    passed_ = Error{ErrorCode::kIo, "the server ended the file after " + std::to_string(part_.n_bytes()) + " of " +
                                        std::to_string(*n_bytes) + " bytes: " + shown_};
    return Step::kAgain;
  }

  Result<void> begin_whole(const HttpReply& reply) {
    if (what_.n_bytes && reply.n_bytes && *reply.n_bytes != *what_.n_bytes) return other_size(*reply.n_bytes);
    if (reply.n_bytes) ORRERY_RETURN_IF_ERROR(check_room(what_.target.parent_path(), *reply.n_bytes));
    return part_.begin({.address = shown_,
                        .etag = reply.etag,
                        .last_modified = reply.last_modified,
                        .n_bytes = what_.n_bytes ? what_.n_bytes : reply.n_bytes});
  }

  // The rest of what is there, or of another file: then what is there is worth nothing.
  Result<void> begin_rest(const HttpReply& reply, uint64_t offset) {
    const PartOrigin& origin = *part_.origin();
    const auto n_bytes = expected();
    changed_ = offset == 0 || reply.range_from != offset || (!origin.etag.empty() && reply.etag != origin.etag) ||
               (n_bytes && reply.range_total && *reply.range_total != *n_bytes);
    if (!changed_) return {};
    return Error{ErrorCode::kMismatch, "the server sends another part than the one asked for: " + shown_};
  }

  Error other_size(uint64_t n_bytes) const {
    return {ErrorCode::kMismatch, "the server's file has another size than announced (" +
                                      std::to_string(*what_.n_bytes) + " bytes): " + std::to_string(n_bytes) + ", " +
                                      shown_};
  }

  Result<void> take(std::string_view bytes) {
    const auto n_bytes = expected();
    if (n_bytes && bytes.size() > *n_bytes - std::min(*n_bytes, part_.n_bytes())) {
      return Error{ErrorCode::kMismatch,
                   "the server sends more than the " + std::to_string(*n_bytes) + " bytes it announced: " + shown_};
    }
    ORRERY_RETURN_IF_ERROR(check_first_bytes(bytes));
    ORRERY_RETURN_IF_ERROR(part_.append(bytes));
    report(FetchStage::kDownloading, part_.n_bytes());
    return {};
  }

  // A page that says "log in" is noticed before the disk is full of it.
  Result<void> check_first_bytes(std::string_view bytes) const {
    const std::string& wanted = what_.first_bytes;
    if (part_.n_bytes() >= wanted.size()) return {};
    const size_t at = part_.n_bytes();
    const size_t n = std::min(bytes.size(), wanted.size() - at);
    if (bytes.substr(0, n) == std::string_view(wanted).substr(at, n)) return {};
    return Error{ErrorCode::kInvalidFile, "what the server sends is no " + wanted + " file: " + shown_};
  }

  Result<Downloaded> check() {
    const uint64_t n_bytes = part_.n_bytes();
    if (n_bytes < what_.first_bytes.size()) {
      part_.discard();
      return Error{ErrorCode::kInvalidFile, "what the server sends is no " + what_.first_bytes + " file: " + shown_};
    }
    ORRERY_ASSIGN_OR_RETURN(
        const std::string sha256,
        sha256_of_file(
            part_.path(), [&](uint64_t done) { report(FetchStage::kChecking, done); }, options_.cancel));
    if (!what_.sha256.empty() && sha256 != what_.sha256) {
      part_.discard();
      return Error{ErrorCode::kMismatch,
                   "what came from " + shown_ + " is not the file that was pinned: its SHA-256 is " + sha256};
    }
    ORRERY_RETURN_IF_ERROR(part_.become_target());
    return Downloaded{n_bytes, sha256};
  }

  std::chrono::milliseconds waiting_time(int n_tries) {
    const auto doubled = options_.first_wait * (1 << std::clamp(n_tries - 2, 0, 16));
    const std::chrono::milliseconds asked = std::chrono::seconds(retry_after_.value_or(0));
    retry_after_.reset();
    return std::min(std::max<std::chrono::milliseconds>(doubled, asked), kLongestWait);
  }

  void report(FetchStage stage, uint64_t done_bytes) const {
    if (options_.progress) options_.progress(stage, done_bytes, expected().value_or(0));
  }

  Error cancelled() const { return {ErrorCode::kCancelled, "cancelled: " + shown_}; }

  const Download& what_;
  const DownloadOptions& options_;
  PartFile part_;
  const std::string shown_;
  int n_restarts_ = 0;
  bool changed_ = false;         // the server's file is not the one whose beginning is there
  std::optional<Error> passed_;  // what the last try failed with
  std::optional<int> retry_after_;
};

}  // namespace

Result<void> check_room(const fs::path& folder, uint64_t n_bytes) {
  constexpr uint64_t kLeftFree = uint64_t{32} << 20;  // a disk that is full to the last byte helps nobody
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || (space.available >= n_bytes && space.available - n_bytes >= kLeftFree)) return {};
  return Error{ErrorCode::kIo, "this needs " + std::to_string(n_bytes / 1'000'000) +
                                   " MB of free space, and there are " + std::to_string(space.available / 1'000'000) +
                                   " MB in: " + folder.string()};
}

uint64_t bytes_there(const fs::path& target) {
  std::error_code error;
  const uint64_t n_bytes = fs::file_size(PartFile::path_of(target), error);
  return error ? 0 : n_bytes;
}

Result<Downloaded> download(const Download& what, const DownloadOptions& options) {
  ORRERY_ASSIGN_OR_RETURN(PartFile part, PartFile::open(what.target));
  return FileDownload(what, options, std::move(part)).run();
}

}  // namespace orrery
