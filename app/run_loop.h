// The one generation loop of the program: the command line, the window, verify and recompute all run through it. It
// feeds the prompt in batches, cuts each pass's packed buffer into Frames, publishes them, samples, and goes on.
//
// Engine thread only, but for RunControl, which any thread may use.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "app/checkpoint_taker.h"
#include "engine/generator.h"
#include "engine/sampler.h"
#include "engine/tokenizer.h"
#include "kernels/base/result.h"
#include "probes/frame.h"
#include "probes/frame_bus.h"
#include "probes/tap_mask.h"

namespace orrery {

// Stop, pause and step, from any thread. A run looks at it between passes: a token, or a prefill batch.
class RunControl {
 public:
  void stop();   // ends the run; it counts as stopped
  void pause();  // the run waits before its next pass
  void resume();
  void step(int64_t n = 1);  // paused: lets n more passes through
  bool stopped() const { return stop_.load(std::memory_order_acquire); }
  bool paused() const;
  void reset();  // between runs: neither stopped nor paused

  // Where a signal handler may say "stop" too; null for none. Looked at by the engine thread.
  void watch(const std::atomic<bool>* flag) { flag_ = flag; }

  // A run that waits because it is paused looks again at what it can do meanwhile.
  void wake();

  // Engine thread: waits while paused; false where the run is to end. `meanwhile`, where there is one, is called before
  // anything else, and while it waits whenever it is woken; it says whether it has more to do at once.
  bool may_go_on(const std::function<bool()>& meanwhile = {});

 private:
  bool ended() const { return stopped() || (flag_ != nullptr && flag_->load(std::memory_order_relaxed)); }

  std::atomic<bool> stop_{false};
  const std::atomic<bool>* flag_ = nullptr;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool paused_ = false;
  bool woken_ = false;
  int64_t steps_ = 0;
};

// What to measure besides the schedule: for recomputing what was not recorded.
struct ExtraTaps {
  TapMask mask;
  int64_t begin = 0;  // half-open range of steps
  int64_t end = 0;
};

struct RunRequest {
  int64_t run = 1;            // id that Frames and batches carry: what Recorder::begin_run returned
  std::vector<Token> prompt;  // steps 0 .. n - 1 with id, bytes and segment; at least one
  // Half-open ranges of prompt steps that are fed at once, ascending, as plan_batches gives; the other steps go one by
  // one.
  std::vector<std::pair<int64_t, int64_t>> batches;
  int64_t n_new_tokens = 128;  // at most; 0: the prompt alone
  // Ids to take instead of the sampled ones, from the first new token on: the re-run of a recording. The sampler still
  // draws, and RunResult::sampled_ids says what it would have taken.
  std::vector<int32_t> forced;
  SamplerSettings sampler;     // must have passed validate()
  int64_t n_drawn_before = 0;  // random numbers to pass over: those that the run it continues had drawn
  TapSchedule schedule;
  ExtraTaps extra;
  Origin origin = Origin::kLive;
  // The first tokens that the generator has taken in already (Generator::restore): the run begins behind them.
  int64_t n_fed = 0;
  bool takes_checkpoints = false;  // of its states, as the schedule's level says (CheckpointTaker)
};

// What a run goes on with once its answer has ended or was stopped.
struct Turn {
  std::vector<Token> given;  // ids, bytes and segments of the next steps; none: it goes on from the last token
  // As RunRequest::batches; they begin at RunLoop::n_processed().
  std::vector<std::pair<int64_t, int64_t>> batches;
  int64_t n_new_tokens = 128;
  std::vector<int32_t> forced;
};

struct RunProgress {
  bool prefill = true;
  int64_t n_done = 0;   // tokens of this phase
  int64_t n_total = 0;  // of the prompt, or at most to be generated
  double tokens_per_s = 0;
};

// All on the engine thread; each may be empty.
struct RunSinks {
  std::function<void(const SharedBatch&)> publish;  // Frames and tokens: FrameBus::publish
  std::function<void(const Token&, const std::string& text)>
      on_token;  // a new token, and the whole characters it completes
  std::function<void(const RunProgress&)> on_progress;
  // Between passes, and while the run is paused again and again: other work of this thread, a little at a time. It says
  // whether there is more of it.
  std::function<bool()> meanwhile;
};

enum class StopReason : uint8_t { kLength, kEndToken, kStopped, kContextFull };
std::string_view stop_reason_name(StopReason reason);  // "length", "end token", "stopped", "context full"

struct RunResult {
  StopReason reason = StopReason::kLength;
  std::vector<int32_t> ids;          // new tokens, an end token included
  std::vector<int32_t> sampled_ids;  // as ids; where ids were forced, what the sampler drew instead
  std::string text;                  // of the new tokens, control tokens left out
  int64_t n_processed = 0;           // steps that were fed
  double prefill_s = 0;              // of the prompt, its last token included
  double decode_s = 0;               // of all that was fed after it
  int64_t n_decoded = 0;             // tokens fed after the prompt
};

// How a prompt is fed: batches of at most kPrefillRows rows, cut where the schedule changes and where packed
// measurements and scratch would pass kPrefillBytes. `one_step`: none, every token is a step of its own.
inline constexpr int64_t kPrefillRows = 256;
inline constexpr size_t kPrefillBytes = size_t{64} << 20;
std::vector<std::pair<int64_t, int64_t>> plan_batches(const Generator& generator, int64_t n_prompt,
                                                      const TapSchedule& schedule, const ExtraTaps& extra,
                                                      bool one_step);
// The same for steps [begin, end) of a run that goes on.
std::vector<std::pair<int64_t, int64_t>> plan_batches(const Generator& generator, int64_t begin, int64_t end,
                                                      const TapSchedule& schedule, const ExtraTaps& extra,
                                                      bool one_step);

// A run of one or more turns on one generator, whose cache is kept in between: only what is new is fed, and the ids
// that were drawn stay as they are. The run's clock stands still between turns. One sampler draws throughout.
class RunLoop {
 public:
  // `generator`, `tokenizer` (may be null: tokens then have no bytes and there is no text) and `control` outlive it;
  // nothing else may feed the generator meanwhile.
  RunLoop(Generator& generator, const Tokenizer* tokenizer, RunRequest request, RunSinks sinks, RunControl& control);
  ~RunLoop();
  RunLoop(const RunLoop&) = delete;
  RunLoop& operator=(const RunLoop&) = delete;

  // The request's prompt and the first answer, from an empty sequence. Errors are those of feed() and of the sampler;
  // what was published stays published.
  Result<RunResult> start();
  // A further turn. kInvalidArgument where the context cannot hold what is given: the run is then as it was.
  Result<RunResult> go_on(Turn turn);

  // attention.row of these heads is measured from the next pass on that is not planned yet; returns its step.
  int64_t pin(std::vector<PinnedHead> heads);

  int64_t n_processed() const;           // steps that were fed
  std::span<const int32_t> ids() const;  // of all steps, those included that are not fed yet

 private:
  class State;
  std::unique_ptr<State> state_;
};

// A run of one turn: RunLoop::start().
Result<RunResult> run_loop(Generator& generator, const Tokenizer* tokenizer, const RunRequest& request,
                           const RunSinks& sinks, RunControl& control);

}  // namespace orrery
