#include "app/row_recall.h"

#include <algorithm>
#include <string>

#include "app/rerun.h"
#include "probes/tap_mask.h"

namespace orrery {

RowRecall::RowRecall(const Generator& source)
    : source_(source),
      generator_(source.shared_model(), source.kv_dtype()),
      turns_by_length_(turns_by_length(source.model().config())) {}

RowRecall::RowRecall(const std::shared_ptr<const Model>& model, DType kv, size_t past_bytes)
    : own_source_(std::make_unique<Generator>(model, kv)),
      source_(*own_source_),
      generator_(model, kv),
      turns_by_length_(turns_by_length(model->config())) {
  own_source_->keep_past(past_bytes);
}

Result<void> RowRecall::begin(const RowRequest& request, std::span<const int32_t> ids,
                              std::span<const std::pair<int64_t, int64_t>> batches) {
  request_.reset();
  const int64_t n_fed_there = own_source_ ? std::ssize(ids) : source_.length();
  if (request.step < 0 || request.step >= std::min(n_fed_there, std::ssize(ids))) {
    return Error{ErrorCode::kNotFound, "the run has not processed this step yet: " + std::to_string(request.step)};
  }
  TapMask mask;
  mask.probes = {request.probe};
  mask.row_layers = {request.layer};
  row_ = compile(mask, source_.model().config());
  if (row_.fields.empty()) {
    return Error{ErrorCode::kNotFound,
                 "this layer has no " + std::string(request.probe->name) + ": layer " + std::to_string(request.layer)};
  }
  if (row_.keeps_history) ORRERY_RETURN_IF_ERROR(check_history(request.step));
  // Sequences that were fed other tokens are of no use any more.
  if (!std::equal(ids_.begin(), ids_.begin() + std::min(std::ssize(ids_), std::ssize(ids)), ids.begin())) {
    generator_.reset();
    historian_.reset();
  }
  ids_.assign(ids.begin(), ids.end());
  batches_.assign(batches.begin(), batches.end());
  request_ = request;
  is_started_ = false;
  n_done_ = 0;
  if (must_fill_source()) {
    n_total_ = request.step + 1 - source_.length() + 1;
    return {};
  }
  return start();
}

bool RowRecall::must_fill_source() const {
  return own_source_ && !row_.keeps_history && own_source_->length() <= request_->step;
}

Result<void> RowRecall::start() {
  if (const Result<void> started = choose_start(); !started) {
    request_.reset();
    return started;
  }
  is_started_ = true;
  way_ = {};
  way_.keeps_history = row_.keeps_history;
  n_total_ = n_done_ + request_->step + 1 - own().length();
  return {};
}

// The own sequence goes on where it is nearer than what the run's cache gives. Implied rows need all that went into the
// recurrences, which runs do not keep: only an own sequence from the first token on has it.
Result<void> RowRecall::choose_start() {
  const int64_t step = request_->step;
  if (row_.keeps_history) {
    if (historian_ && historian_->length() <= step) return {};
    historian_ = std::make_unique<Generator>(source_.shared_model(), source_.kv_dtype());
    return {};
  }
  ORRERY_ASSIGN_OR_RETURN(Cache past, source_.past(step));
  if (generator_.length() > step || generator_.length() < past.length()) generator_.take_up(std::move(past));
  return {};
}

Result<void> RowRecall::check_history(int64_t step) const {
  const int64_t n_bytes = source_.cache().history_bytes(step + 1);
  if (n_bytes <= kMostHistoryBytes) return {};
  constexpr int64_t kMiB = int64_t{1} << 20;
  return Error{ErrorCode::kOutOfMemory, "an implied row at step " + std::to_string(step) + " is made of " +
                                            std::to_string(n_bytes / kMiB) +
                                            " MiB that the tokens before it wrote, and at most " +
                                            std::to_string(kMostHistoryBytes / kMiB) + " MiB are kept"};
}

// Where the rotation depends on the length, tokens go as they went: of one batch, or one by one.
int64_t RowRecall::slice_end(int64_t begin, int64_t max_rows) const {
  const int64_t step = request_->step;
  if (begin == step) return step + 1;
  const int64_t end = std::min(step, begin + std::max<int64_t>(max_rows, 1));
  return turns_by_length_ ? std::min(end, batch_end(begin)) : end;
}

int64_t RowRecall::batch_end(int64_t step) const {
  const auto batch =
      std::ranges::find_if(batches_, [step](const auto& one) { return step >= one.first && step < one.second; });
  return batch == batches_.end() ? step + 1 : batch->second;
}

Result<void> RowRecall::feed(Generator& generator, int64_t end, const ProbePlan& plan) {
  const int64_t begin = generator.length();
  generator.announce(turns_by_length_ ? batch_end(begin) : 0);
  const auto tokens =
      std::span<const int32_t>(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  n_done_ += end - begin;
  ORRERY_RETURN_IF_ERROR(generator.feed(tokens, plan, LogitsWanted::kNone));
  return {};
}

Result<std::optional<Frame>> RowRecall::go_on(int64_t max_rows) {
  CHECK(request_.has_value());
  if (must_fill_source()) {
    ORRERY_RETURN_IF_ERROR(feed(*own_source_, slice_end(own_source_->length(), max_rows), ProbePlan{}));
    return std::optional<Frame>();
  }
  if (!is_started_) ORRERY_RETURN_IF_ERROR(start());
  const int64_t step = request_->step;
  const int64_t begin = own().length();
  if (begin != step) {
    ORRERY_RETURN_IF_ERROR(feed(own(), slice_end(begin, max_rows), way_));
    return std::optional<Frame>();
  }
  own().announce(turns_by_length_ ? batch_end(begin) : 0);
  ++n_done_;
  ORRERY_RETURN_IF_ERROR(own().look_at(ids_[static_cast<size_t>(step)], row_, request_->layer));
  std::vector<Frame> frames = cut_frames(own().probes(), own().model().config(), request_->run, step);
  CHECK(frames.size() == 1);
  frames.front().origin = Origin::kRecomputed;
  request_.reset();
  return std::optional<Frame>(std::move(frames.front()));
}

}  // namespace orrery
