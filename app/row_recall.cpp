#include "app/row_recall.h"

#include <algorithm>
#include <string>

#include "probes/tap_mask.h"

namespace orrery {

RowRecall::RowRecall(const Generator& source) : source_(source), generator_(source.shared_model(), source.kv_dtype()) {
  for (const LayerConfig& layer : source.model().config().layers) {
    turns_by_length_ = turns_by_length_ || layer.attention.rope.beyond.length > 0;
  }
}

Result<void> RowRecall::begin(const RowRequest& request, std::span<const int32_t> ids,
                              std::span<const std::pair<int64_t, int64_t>> batches) {
  request_.reset();
  if (request.step < 0 || request.step >= source_.length() || std::cmp_less_equal(ids.size(), request.step)) {
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
  way_ = {};
  // A sequence that was fed other tokens is of no use any more.
  const auto n_fed = static_cast<size_t>(generator_.length());
  if (n_fed > ids.size() || !std::equal(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(n_fed), ids.begin())) {
    generator_.reset();
    has_history_ = false;
  }
  ids_.assign(ids.begin(), ids.begin() + request.step + 1);
  batches_.assign(batches.begin(), batches.end());
  request_ = request;
  if (const Result<void> started = choose_start(); !started) {
    request_.reset();
    return started;
  }
  way_.keeps_history = row_.keeps_history = has_history_;
  n_done_ = 0;
  n_total_ = request.step + 1 - generator_.length();
  return {};
}

// The own sequence goes on where it is nearer than what the run's cache gives. Implied rows need all that went into the
// recurrences, which runs do not keep: only an own sequence from the first token on has it.
Result<void> RowRecall::choose_start() {
  const int64_t step = request_->step;
  const bool own_fits = generator_.length() <= step && (has_history_ || !row_.keeps_history);
  if (row_.keeps_history) {
    if (own_fits) return {};
    generator_.reset();
    has_history_ = true;
    return {};
  }
  ORRERY_ASSIGN_OR_RETURN(Cache past, source_.past(step));
  if (own_fits && generator_.length() >= past.length()) return {};
  has_history_ = false;
  generator_.take_up(std::move(past));
  return {};
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

Result<std::optional<Frame>> RowRecall::go_on(int64_t max_rows) {
  CHECK(request_.has_value());
  const int64_t step = request_->step;
  const int64_t begin = generator_.length();
  const int64_t end = slice_end(begin, max_rows);
  generator_.announce(turns_by_length_ ? batch_end(begin) : 0);
  const auto tokens =
      std::span<const int32_t>(ids_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  n_done_ += end - begin;
  if (begin != step) {
    ORRERY_RETURN_IF_ERROR(generator_.feed(tokens, way_, LogitsWanted::kNone));
    return std::optional<Frame>();
  }
  ORRERY_RETURN_IF_ERROR(generator_.look_at(tokens[0], row_, request_->layer));
  std::vector<Frame> frames = cut_frames(generator_.probes(), generator_.model().config(), request_->run, step);
  CHECK(frames.size() == 1);
  frames.front().origin = Origin::kRecomputed;
  request_.reset();
  return std::optional<Frame>(std::move(frames.front()));
}

}  // namespace orrery
