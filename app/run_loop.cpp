#include "app/run_loop.h"

#include <algorithm>
#include <chrono>
#include <optional>

namespace orrery {

void RunControl::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_release);
  }
  changed_.notify_all();
}

void RunControl::pause() {
  const std::lock_guard lock(mutex_);
  paused_ = true;
  steps_ = 0;
}

void RunControl::resume() {
  {
    const std::lock_guard lock(mutex_);
    paused_ = false;
  }
  changed_.notify_all();
}

void RunControl::step(int64_t n) {
  {
    const std::lock_guard lock(mutex_);
    steps_ += n;
  }
  changed_.notify_all();
}

bool RunControl::paused() const {
  const std::lock_guard lock(mutex_);
  return paused_;
}

void RunControl::reset() {
  const std::lock_guard lock(mutex_);
  stop_.store(false, std::memory_order_release);
  paused_ = false;
  steps_ = 0;
}

void RunControl::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

bool RunControl::may_go_on(const std::function<bool()>& meanwhile) {
  if (meanwhile) (void)meanwhile();
  std::unique_lock lock(mutex_);
  // A signal handler cannot wake a condition variable, so the flag is looked at in between.
  while (!ended() && paused_ && steps_ == 0) {
    if (std::exchange(woken_, false) && meanwhile) {
      lock.unlock();
      const bool more = meanwhile();
      lock.lock();
      woken_ = woken_ || more;
      continue;
    }
    changed_.wait_for(lock, std::chrono::milliseconds(100));
  }
  if (ended()) return false;
  if (paused_) --steps_;
  return true;
}

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::kLength:
      return "length";
    case StopReason::kEndToken:
      return "end token";
    case StopReason::kStopped:
      return "stopped";
    case StopReason::kContextFull:
      return "context full";
  }
  return "";
}

namespace {

TapMask mask_at(const TapSchedule& schedule, const ExtraTaps& extra, int64_t step) {
  TapMask mask = schedule.mask_at(step);
  // From the first step on, also where the rows are wanted for the last one only.
  mask.keeps_history = step < extra.end && extra.mask.needs_history();
  if (step < extra.begin || step >= extra.end) return mask;
  mask.probes.insert(extra.mask.probes.begin(), extra.mask.probes.end());
  mask.row_layers = extra.mask.row_layers;
  mask.row_heads = extra.mask.row_heads;
  return mask;
}

int64_t next_change(const TapSchedule& schedule, const ExtraTaps& extra, int64_t step) {
  int64_t next = schedule.next_change(step);
  for (const int64_t boundary : {extra.begin, extra.end}) {
    if (extra.begin < extra.end && boundary > step) next = std::min(next, boundary);
  }
  return next;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

// One run in progress.
class RunLoop::State {
 public:
  State(Generator& generator, const Tokenizer* tokenizer, RunRequest request, RunSinks sinks, RunControl& control)
      : generator_(generator),
        request_(std::move(request)),
        sinks_(std::move(sinks)),
        control_(control),
        tokenizer_(tokenizer),
        sampler_(request_.sampler) {
    sampler_.skip(request_.n_drawn_before);
  }

  // Batches of the turn that were not fed yet stay as they were planned.
  int64_t pin(std::vector<PinnedHead> heads) {
    int64_t begin = n_processed_;
    for (const auto& batch : turn_.batches) begin = std::max(begin, batch.second);
    request_.schedule.pin(begin, std::move(heads));
    return begin;
  }

  int64_t n_processed() const { return n_processed_; }
  std::span<const int32_t> ids() const { return history_; }

  Result<RunResult> start() {
    if (request_.n_fed == 0) generator_.reset();
    CHECK(generator_.length() == request_.n_fed && std::cmp_less(request_.n_fed, request_.prompt.size()));
    n_processed_ = request_.n_fed;
    return take({.given = request_.prompt,
                 .batches = request_.batches,
                 .n_new_tokens = request_.n_new_tokens,
                 .forced = request_.forced});
  }

  Result<RunResult> take(Turn turn) {
    const int64_t context = generator_.model().config().context_length;
    const size_t n_steps = history_.size() + turn.given.size();
    if (context > 0 && std::cmp_greater(n_steps, context) && !history_.empty()) {
      return Error{ErrorCode::kInvalidArgument, "the chat is too long for the model, whose context holds " +
                                                    std::to_string(context) +
                                                    " tokens; begin a new one; with this "
                                                    "turn it would have " +
                                                    std::to_string(n_steps)};
    }
    turn_ = std::move(turn);
    result_ = {};
    turn_start_ = Clock::now();
    if (tokenizer_ != nullptr) decoder_ = std::make_unique<StreamDecoder>(*tokenizer_);
    const int64_t given_at = now_ns();
    for (Token& token : turn_.given) {
      token.step = static_cast<int64_t>(history_.size());
      token.time_ns = history_.empty() || token.step == 0 ? 0 : given_at;
      history_.push_back(token.id);
    }
    publish(turn_.given, {}, {});
    Result<void> done = run_turn();
    if (!done) {
      publish({}, std::exchange(frames_, {}), {});  // what was measured before it failed is kept
      return done.error();
    }
    finish();
    elapsed_ns_ = now_ns();
    turn_start_.reset();
    return std::move(result_);
  }

 private:
  const ProbePlan& plan_at(int64_t step) {
    TapMask mask = mask_at(request_.schedule, request_.extra, step);
    if (plan_ == nullptr || !(mask == planned_mask_)) {
      plan_ = std::make_unique<ProbePlan>(compile(mask, generator_.model().config()));
      planned_mask_ = std::move(mask);
    }
    return *plan_;
  }

  // Feeds history_[begin, end) and keeps its Frames.
  Result<void> feed(int64_t begin, int64_t end, LogitsWanted wanted) {
    CHECK(begin == generator_.length());
    const ProbePlan& plan = plan_at(begin);
    const auto tokens =
        std::span<const int32_t>(history_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    ORRERY_ASSIGN_OR_RETURN(logits_, generator_.feed(tokens, plan, wanted));
    n_processed_ = end;
    frames_ = sinks_.publish ? cut_frames(generator_.probes(), generator_.model().config(), request_.run, begin)
                             : std::vector<Frame>{};
    for (Frame& frame : frames_) frame.origin = request_.origin;
    if (!request_.takes_checkpoints || !sinks_.publish || !request_.schedule.recording) return {};
    ORRERY_ASSIGN_OR_RETURN(checkpoint_, checkpoints_.take(generator_.cache(), request_.schedule.level_at(end - 1)));
    return {};
  }

  int64_t now_ns() const {
    if (!turn_start_) return elapsed_ns_;
    return elapsed_ns_ + std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - *turn_start_).count();
  }

  void publish(std::vector<Token> tokens, std::vector<Frame> frames, std::vector<RunEvent> events) {
    if (!sinks_.publish || (tokens.empty() && frames.empty() && events.empty())) return;
    auto batch = std::make_shared<FrameBatch>();
    batch->run = request_.run;
    batch->tokens = std::move(tokens);
    batch->frames = std::move(frames);
    batch->events = std::move(events);
    if (!batch->frames.empty()) batch->checkpoint = std::exchange(checkpoint_, nullptr);
    batch->count_bytes();
    sinks_.publish(batch);
  }

  void report(bool prefill, int64_t n_done, int64_t n_total, double seconds) {
    if (!sinks_.on_progress) return;
    sinks_.on_progress({.prefill = prefill,
                        .n_done = n_done,
                        .n_total = n_total,
                        .tokens_per_s = seconds > 0 ? static_cast<double>(n_done) / seconds : 0});
  }

  // Where the batches that follow each other without a gap end: as one batch to a rotation that depends on the length.
  int64_t end_of_neighbours(std::vector<std::pair<int64_t, int64_t>>::const_iterator batch) const {
    int64_t end = batch->second;
    for (++batch; batch != request_.batches.end() && batch->first == end && batch->second > end + 1; ++batch) {
      end = batch->second;
    }
    return end;
  }

  Result<void> run_turn() {
    ORRERY_ASSIGN_OR_RETURN(const bool whole, prefill());
    result_.prefill_s = seconds_since(*turn_start_);
    return whole ? decode() : Result<void>();
  }

  // Feeds all that is not fed yet. False where the run was stopped. The last pass's Frames stay unpublished until its
  // next token is known.
  Result<bool> prefill() {
    const auto n_given = static_cast<int64_t>(history_.size());
    const int64_t first = n_processed_;
    auto batch = turn_.batches.begin();
    for (int64_t begin = first; begin < n_given;) {
      if (!control_.may_go_on(sinks_.meanwhile)) {
        result_.reason = StopReason::kStopped;
        return false;
      }
      while (batch != turn_.batches.end() && batch->first < begin) ++batch;
      const bool in_batch = batch != turn_.batches.end() && batch->first == begin;
      const int64_t end = in_batch ? std::min(batch->second, n_given) : begin + 1;
      CHECK(end > begin);
      const bool last = end == n_given;
      // The last row's logits are wanted even where nothing is drawn now: the run may go on from them.
      ORRERY_RETURN_IF_ERROR(feed(begin, end, last ? LogitsWanted::kLast : LogitsWanted::kNone));
      std::vector<RunEvent> events;
      if (end - begin > 1) {
        events.push_back(
            {.step = begin,
             .kind = "batch",
             .layer = -1,
             .detail = "{\"begin\": " + std::to_string(begin) + ", \"end\": " + std::to_string(end) + "}"});
      }
      report(true, end - first, n_given - first, seconds_since(*turn_start_));
      if (!last || turn_.n_new_tokens == 0) {
        publish({}, std::exchange(frames_, {}), std::move(events));
      } else {
        pending_events_ = std::move(events);
      }
      begin = end;
    }
    return true;
  }

  // Samples, publishes what was just fed together with the new token, feeds it, until something ends the run.
  Result<void> decode() {
    const auto decode_start = std::chrono::steady_clock::now();
    for (int64_t n = 0; n < turn_.n_new_tokens; ++n) {
      ORRERY_ASSIGN_OR_RETURN(const Token token, next_token(n));
      publish({token}, std::exchange(frames_, {}), std::exchange(pending_events_, {}));
      if (sinks_.on_token) sinks_.on_token(token, text_);
      if (ends(token, n)) return {};
      const int64_t position = token.step;
      ORRERY_RETURN_IF_ERROR(feed(position, position + 1, LogitsWanted::kLast));
      ++result_.n_decoded;
      result_.decode_s = seconds_since(decode_start);
      report(false, result_.n_decoded, turn_.n_new_tokens, result_.decode_s);
    }
    return {};
  }

  Result<Token> next_token(int64_t n) {
    ORRERY_ASSIGN_OR_RETURN(const SampledToken sampled, sampler_.sample(logits_.row_span(0), history_));
    const bool forced = n < static_cast<int64_t>(turn_.forced.size());
    Token token;
    token.step = static_cast<int64_t>(history_.size());
    token.id = forced ? turn_.forced[static_cast<size_t>(n)] : sampled.id;
    token.time_ns = now_ns();
    token.segment = Segment::kGenerated;
    text_.clear();
    if (tokenizer_ != nullptr) {
      token.bytes = tokenizer_->token_bytes(token.id);
      text_ = decoder_->push(token.id);
      result_.text += text_;
    }
    history_.push_back(token.id);
    result_.ids.push_back(token.id);
    result_.sampled_ids.push_back(sampled.id);
    return token;
  }

  bool ends(const Token& token, int64_t n) {
    if (n + 1 == turn_.n_new_tokens) {
      result_.reason = StopReason::kLength;
      if (tokenizer_ != nullptr && tokenizer_->is_end_of_generation(token.id)) result_.reason = StopReason::kEndToken;
      return true;
    }
    const bool forced_on = n + 1 < static_cast<int64_t>(turn_.forced.size());
    if (!forced_on && tokenizer_ != nullptr && tokenizer_->is_end_of_generation(token.id)) {
      result_.reason = StopReason::kEndToken;
      return true;
    }
    const int64_t context = generator_.model().config().context_length;
    if (context > 0 && token.step >= context) {
      result_.reason = StopReason::kContextFull;
      return true;
    }
    if (!control_.may_go_on(sinks_.meanwhile)) {
      result_.reason = StopReason::kStopped;
      return true;
    }
    return false;
  }

  void finish() {
    result_.n_processed = n_processed_;
    if (decoder_ != nullptr) {
      const std::string rest = decoder_->finish();
      result_.text += rest;
      if (!rest.empty() && sinks_.on_token && !result_.ids.empty()) {
        sinks_.on_token({.step = static_cast<int64_t>(history_.size()), .id = -1, .bytes = {}}, rest);
      }
    }
    RunEvent stop{.step = static_cast<int64_t>(history_.size()) - 1, .kind = "stop", .layer = -1, .detail = {}};
    stop.detail = "{\"reason\": \"" + std::string(stop_reason_name(result_.reason)) + "\"}";
    publish({}, std::exchange(frames_, {}), {stop});
  }

  using Clock = std::chrono::steady_clock;

  Generator& generator_;
  RunRequest request_;
  const RunSinks sinks_;
  RunControl& control_;
  const Tokenizer* tokenizer_;
  Sampler sampler_;

  std::unique_ptr<ProbePlan> plan_;  // the generator's buffer points to it between passes
  TapMask planned_mask_;
  std::vector<int32_t> history_;  // all ids, prompt included
  int64_t n_processed_ = 0;       // of them, fed
  Matrix<const float> logits_;    // of the last one fed
  std::vector<Frame> frames_;     // of the last pass, not published yet
  CheckpointTaker checkpoints_;
  std::shared_ptr<const StateCheckpoint> checkpoint_;  // after the last pass, not published yet
  std::vector<RunEvent> pending_events_;
  int64_t elapsed_ns_ = 0;  // in the turns before
  std::optional<Clock::time_point> turn_start_;

  // Of the turn in progress.
  Turn turn_;
  std::unique_ptr<StreamDecoder> decoder_;
  std::string text_;
  RunResult result_;
};

RunLoop::RunLoop(Generator& generator, const Tokenizer* tokenizer, RunRequest request, RunSinks sinks,
                 RunControl& control) {
  CHECK(!request.prompt.empty(), "a run needs at least one token");
  state_ = std::make_unique<State>(generator, tokenizer, std::move(request), std::move(sinks), control);
}
RunLoop::~RunLoop() = default;
Result<RunResult> RunLoop::start() { return state_->start(); }
Result<RunResult> RunLoop::go_on(Turn turn) { return state_->take(std::move(turn)); }
int64_t RunLoop::pin(std::vector<PinnedHead> heads) { return state_->pin(std::move(heads)); }
int64_t RunLoop::n_processed() const { return state_->n_processed(); }
std::span<const int32_t> RunLoop::ids() const { return state_->ids(); }

std::vector<std::pair<int64_t, int64_t>> plan_batches(const Generator& generator, int64_t n_prompt,
                                                      const TapSchedule& schedule, const ExtraTaps& extra,
                                                      bool one_step) {
  return plan_batches(generator, 0, n_prompt, schedule, extra, one_step);
}

std::vector<std::pair<int64_t, int64_t>> plan_batches(const Generator& generator, int64_t begin, int64_t end,
                                                      const TapSchedule& schedule, const ExtraTaps& extra,
                                                      bool one_step) {
  std::vector<std::pair<int64_t, int64_t>> batches;
  if (one_step) return batches;
  while (begin < end) {
    const ProbePlan plan = compile(mask_at(schedule, extra, begin), generator.model().config());
    const int64_t most = std::min({kPrefillRows, end - begin, next_change(schedule, extra, begin) - begin});
    const int64_t n_rows = std::max<int64_t>(generator.rows_within(plan, begin, most, kPrefillBytes), 1);
    batches.emplace_back(begin, begin + n_rows);
    begin += n_rows;
  }
  return batches;
}

Result<RunResult> run_loop(Generator& generator, const Tokenizer* tokenizer, const RunRequest& request,
                           const RunSinks& sinks, RunControl& control) {
  return RunLoop(generator, tokenizer, request, sinks, control).start();
}

}  // namespace orrery
