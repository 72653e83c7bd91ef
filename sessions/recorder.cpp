#include "sessions/recorder.h"

#include <algorithm>
#include <utility>

#include "sessions/json_fields.h"
#include "sessions/session_reader.h"

namespace orrery {
namespace {

using Clock = std::chrono::steady_clock;

// Between two looks at the ring: so batches are taken in bunches and the engine's thread is not disturbed at every
// step.
constexpr std::chrono::milliseconds kNap{20};
// A bunch as large as this is written at once.
constexpr size_t kLargeBunch = size_t{16} << 20;

// The range and the reason in the detail of a "gap" event of the bus.
Result<Gap> parse_gap(const RunEvent& event) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json json,
                          parse_json(event.detail, "a gap's detail", nlohmann::json::value_t::object));
  Gap gap{.step_begin = event.step, .step_end = event.step, .reason = ""};
  JsonFields fields(json, "a gap's detail");
  fields.read("begin", gap.step_begin, int64_t{0}, kMaxSteps);
  fields.read("end", gap.step_end, int64_t{0}, kMaxSteps);
  fields.read("reason", gap.reason);
  ORRERY_RETURN_IF_ERROR(fields.done());
  return gap;
}

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::start(const std::string& path, std::shared_ptr<FrameRing> ring,
                                                  RecorderOptions options) {
  ORRERY_ASSIGN_OR_RETURN(auto store, SessionStore::create_or_open(path, options.store));
  return std::unique_ptr<Recorder>(new Recorder(std::move(store), std::move(ring), std::move(options)));
}

Recorder::Recorder(std::unique_ptr<SessionStore> store, std::shared_ptr<FrameRing> ring, RecorderOptions options)
    : path_(store->path()), options_(std::move(options)), ring_(std::move(ring)), store_(std::move(store)) {
  status_.n_bytes = store_->n_bytes();
  thread_ = std::thread([this] { thread_main(); });
}

Recorder::~Recorder() { (void)close(); }

Result<int64_t> Recorder::begin_run(const RunRecord& record) {
  const std::lock_guard work(work_mutex_);
  CHECK(store_ != nullptr, "the recorder is closed");
  CHECK(run_ == 0, "a run is open already");
  ORRERY_ASSIGN_OR_RETURN(run_, store_->begin_run(record));
  packer_ = std::make_unique<ChunkPacker>(*store_, run_);
  seen_steps_ = taken_steps_ = taken_tokens_ = taken_gaps_ = 0;
  const std::lock_guard lock(status_mutex_);
  status_ = {.recording = true, .failure = std::nullopt, .run = run_, .n_bytes = store_->n_bytes()};
  return run_;
}

Result<void> Recorder::continue_run(const RunRecord& record, int64_t n_steps) {
  const std::lock_guard work(work_mutex_);
  CHECK(store_ != nullptr, "the recorder is closed");
  CHECK(run_ == 0 || run_ == record.run, "another run is open");
  if (failed()) return {};  // it was said when it happened; generation goes on
  ORRERY_RETURN_IF_ERROR(store_->continue_run(record.run, record.prompt, record.settings));
  if (run_ != 0) return {};
  run_ = record.run;
  packer_ = std::make_unique<ChunkPacker>(*store_, run_);
  ORRERY_RETURN_IF_ERROR(resume_levels(record, n_steps));
  seen_steps_ = taken_steps_ = n_steps;
  taken_tokens_ = taken_gaps_ = 0;
  const std::lock_guard lock(status_mutex_);
  status_ = {.recording = true, .failure = std::nullopt, .run = run_, .n_steps = n_steps, .n_bytes = store_->n_bytes()};
  return {};
}

// The cells of coarse levels that were open when the run ended go on from what the file has of them.
Result<void> Recorder::resume_levels(const RunRecord& record, int64_t n_steps) {
  ORRERY_ASSIGN_OR_RETURN(const auto reader, SessionReader::open(path_));
  for (const Probe* probe : offered_probes(record.config)) {
    if (!has_levels(*probe)) continue;
    for (const LevelSpan& span : LevelBuilder::resume_spans(*probe, n_steps)) {
      if (span.depth == kMaxDepth) continue;  // whole
      std::vector<std::vector<Frame>> cells;
      for (const Statistic statistic : statistics_of(*probe)) {
        ORRERY_ASSIGN_OR_RETURN(std::vector<Frame> frames, reader->frames(*probe, record.run, span.begin, span.end,
                                                                          level_of(statistic, span.depth)));
        cells.push_back(std::move(frames));
      }
      const std::vector<Frame>& means = cells.front();  // where there are none, what is greatest twice
      const std::vector<Frame>& maxima = cells.back();
      for (size_t i = 0; i < std::min(means.size(), maxima.size()); ++i) {
        const bool alike = means[i].step_begin == maxima[i].step_begin && means[i].step_end == maxima[i].step_end;
        if (alike) packer_->resume_levels(means[i], maxima[i]);
      }
    }
  }
  return {};
}

void Recorder::drain() {
  const uint64_t asked = drain_asked_.fetch_add(1) + 1;
  std::unique_lock lock(drain_mutex_);
  changed_.notify_all();
  changed_.wait(lock, [&] { return drain_done_ >= asked; });
}

Result<void> Recorder::end_run(RunEnd end) {
  if (!thread_.joinable()) return {};
  drain();
  const std::lock_guard work(work_mutex_);
  if (run_ == 0) return {};
  if (!failed()) {
    Result<void> done = store_->begin();
    if (done) done = commit(/*seal=*/true);
    if (done) done = store_->end_run(run_, end);
    if (!done) fail(done.error());
  }
  std::optional<Error> failure;
  {
    const std::lock_guard lock(status_mutex_);
    failure = status_.failure;
    status_.recording = false;
  }
  if (failure) mark_failure(store_->is_disk_full() ? RunEnd::kDiskFull : RunEnd::kFailed);
  packer_.reset();
  run_ = 0;
  {
    const std::lock_guard lock(status_mutex_);
    status_.n_bytes = store_->n_bytes();
  }
  if (failure) return *failure;
  return {};
}

// What can still be said in the file about a recording that stopped by itself; a disk that is still full leaves the run
// without its end, which the next opening marks as interrupted.
void Recorder::mark_failure(RunEnd end) {
  const std::string reason = end == RunEnd::kDiskFull ? "the disk was full" : "recording failed";
  const int64_t committed = status().n_steps;
  if (seen_steps_ > committed && store_->begin()) {
    if (store_->put_gap(run_, {committed, seen_steps_, reason})) (void)store_->commit();
    store_->rollback();
  }
  (void)store_->end_run(run_, end);
}

Result<void> Recorder::close() {
  if (!thread_.joinable()) return {};
  Result<void> ended = end_run(RunEnd::kStopped);
  {
    const std::lock_guard lock(drain_mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
  const std::lock_guard work(work_mutex_);
  Result<void> closed = store_->close();
  store_.reset();
  return ended ? closed : ended;
}

RecorderStatus Recorder::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

bool Recorder::failed() const {
  const std::lock_guard lock(status_mutex_);
  return status_.failure.has_value();
}

void Recorder::thread_main() {
  while (true) {
    // Read before the ring is emptied: what was published before the request is then surely written.
    const uint64_t asked = drain_asked_.load();
    bool large = false;
    {
      const std::lock_guard work(work_mutex_);
      while (SharedBatch batch = ring_->try_pop()) {
        if (pending_.empty()) first_pending_ = Clock::now();
        pending_bytes_ += batch->n_bytes;
        pending_.push_back(std::move(batch));
        if (pending_bytes_ >= kLargeBunch) {
          large = true;
          write_pending();
        }
      }
      if (write_is_due() || asked > drain_done_) write_pending();
    }
    std::unique_lock lock(drain_mutex_);
    if (drain_done_ < asked) {
      drain_done_ = asked;
      changed_.notify_all();
    }
    if (stop_) return;
    // After a large bunch the next is likely to wait for room already.
    changed_.wait_for(lock, large ? kNap / 20 : kNap, [&] { return stop_ || drain_asked_.load() > drain_done_; });
  }
}

bool Recorder::write_is_due() const {
  return !pending_.empty() && Clock::now() - first_pending_ >= options_.commit_interval;
}

void Recorder::write_pending() {
  std::vector<SharedBatch> batches;
  batches.swap(pending_);
  pending_bytes_ = 0;
  // Those of a run that was not begun here are nobody's.
  std::erase_if(batches, [&](const SharedBatch& batch) { return run_ == 0 || batch->run != run_; });
  for (const SharedBatch& batch : batches) {
    for (const Frame& frame : batch->frames) seen_steps_ = std::max(seen_steps_, frame.step_end);
  }
  if (batches.empty() || failed()) return;
  Result<void> done = store_->begin();
  for (size_t i = 0; i < batches.size() && done; ++i) {
    done = take(*batches[i]);
    batches[i].reset();
  }
  if (done) done = commit(/*seal=*/false);
  if (!done) fail(done.error());
}

Result<void> Recorder::take(const FrameBatch& batch) {
  for (const Token& token : batch.tokens) {
    ORRERY_RETURN_IF_ERROR(store_->put_token(run_, token));
    taken_tokens_ = std::max(taken_tokens_, token.step + 1);
  }
  for (const RunEvent& event : batch.events) {
    if (event.kind == "gap") {
      ORRERY_ASSIGN_OR_RETURN(const Gap gap, parse_gap(event));
      ORRERY_RETURN_IF_ERROR(store_->put_gap(run_, gap));
      ++taken_gaps_;
    } else {
      ORRERY_RETURN_IF_ERROR(store_->put_event(run_, event));
    }
  }
  const auto late = [&] { return Clock::now() - first_pending_ >= options_.commit_interval; };
  for (const Frame& frame : batch.frames) {
    // A step is committed whole; but packing a long prefill with exact rows takes longer than a commit may wait.
    if (batch.n_bytes >= kLargeBunch && late()) {
      ORRERY_RETURN_IF_ERROR(commit(/*seal=*/false));
      ORRERY_RETURN_IF_ERROR(store_->begin());
      first_pending_ = Clock::now();
    }
    ORRERY_RETURN_IF_ERROR(packer_->add(frame));
  }
  if (batch.checkpoint) ORRERY_RETURN_IF_ERROR(store_->put_checkpoint(run_, *batch.checkpoint));
  for (const Frame& frame : batch.frames) taken_steps_ = std::max(taken_steps_, frame.step_end);
  return {};
}

Result<void> Recorder::commit(bool seal) {
  ORRERY_RETURN_IF_ERROR(seal ? packer_->seal() : packer_->flush());
  ORRERY_RETURN_IF_ERROR(store_->commit());
  const std::lock_guard lock(status_mutex_);
  status_.n_steps = taken_steps_;
  status_.n_tokens = taken_tokens_;
  status_.n_gaps = taken_gaps_;
  status_.n_bytes = store_->n_bytes();
  return {};
}

void Recorder::fail(const Error& error) {
  store_->rollback();
  {
    const std::lock_guard lock(status_mutex_);
    status_.failure = error;
    status_.recording = false;
  }
  if (options_.on_failure) options_.on_failure(error);
}

}  // namespace orrery
