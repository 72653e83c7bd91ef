#include "app/session_scene.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "app/mass_pager.h"
#include "app/rerun.h"

namespace orrery {
namespace {

// A picture is made once: what it wants is never evicted.
constexpr size_t kHistoryBytes = size_t{4} << 30;

Result<void> add_recorded(SessionReader& reader, const Probe& probe, int64_t run, int64_t begin, int64_t end,
                          FrameHistory& history, int32_t level = 0) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Frame> frames, reader.frames(probe, run, begin, end, level));
  for (const Frame& frame : frames) history.add_frame(frame);
  return {};
}

class ReaderSource final : public DirectFrameSource {
 public:
  ReaderSource(SessionReader& reader, Result<void>& failed) : reader_(reader), failed_(failed) {}

 private:
  std::vector<Frame> read(const FrameRequest& request) override {
    std::vector<Frame> frames;
    const auto take = [&](const Frame& frame) {
      frames.push_back(frame);
      return true;
    };
    const Result<void> done = reader_.for_each_frame(*request.probe, request.run, request.step_begin, request.step_end,
                                                     request.level, take, request.lacking);
    if (!done) failed_ = done;
    return frames;
  }

  SessionReader& reader_;
  Result<void>& failed_;
};

// What a picture needs of a session, and of the model where there is one.
class WantedFetch {
 public:
  WantedFetch(SessionReader& reader, const RunRecord& record, const ModelOpener& open_model, RunControl& control,
              FrameHistory& history, const std::function<void(const std::string&)>& say)
      : reader_(reader), record_(record), open_model_(open_model), control_(control), history_(history), say_(say) {}

  Result<void> frames(const Wanted& wanted) {
    const int64_t cell = steps_per_cell(wanted.level);
    const int64_t end = std::min(wanted.end, history_.n_processed() / cell * cell);
    for (const auto& [from, to] : history_.missing(*wanted.probe, wanted.begin, end, wanted.level)) {
      ORRERY_RETURN_IF_ERROR(add_recorded(reader_, *wanted.probe, record_.run, from, to, history_, wanted.level));
    }
    const auto missing = history_.missing(*wanted.probe, wanted.begin, end, wanted.level);
    if (missing.empty()) return {};
    return make(*wanted.probe, missing.front().first, missing.back().second,
                [this](const Frame& frame) { history_.add_frame(frame); });
  }

  Result<void> mass(const WantedMass& wanted) {
    history_.gather_mass(wanted.layer, wanted.head, std::numeric_limits<int64_t>::max());
    Result<void> failed;
    MassPager pager([&] { return std::make_unique<ReaderSource>(reader_, failed); });
    do {
      pager.take(history_);
      pager.want(history_, wanted);
    } while (failed && !pager.idle());
    if (!failed) return failed;
    const Probe& mass = *find_probe("attention.mass");
    StepRange lacking{wanted.steps.begin, std::min(wanted.steps.end, history_.n_processed())};
    ORRERY_ASSIGN_OR_RETURN(const auto recorded, reader_.recorded_steps(mass, record_.run));
    for (const auto& [begin, end] : recorded) {
      if (begin <= lacking.begin && lacking.begin < end) lacking.begin = end;
      if (begin < lacking.end && lacking.end <= end) lacking.end = begin;
    }
    if (lacking.size() <= 0) return {};
    return make(mass, lacking.begin, lacking.end, [this](const Frame& frame) { history_.gather(frame); });
  }

 private:
  // By the model, where there is one.
  Result<void> make(const Probe& probe, int64_t begin, int64_t end, const std::function<void(const Frame&)>& take) {
    if (!open_model_) return {};
    ORRERY_ASSIGN_OR_RETURN(const OpenedModel* opened, open_model_());
    ExtraTaps taps;
    taps.mask.probes = {&probe};
    taps.begin = begin;
    taps.end = end;
    const std::vector<Token> tokens(history_.tokens().begin(), history_.tokens().end());
    const CheckpointSource source{.reader = reader_, .record = record_, .say = say_};
    return recompute(
        *opened, record_.run, tokens, taps,
        [&](const Frame& frame) -> Result<void> {
          take(frame);
          return {};
        },
        {}, control_, &source);
  }

  SessionReader& reader_;
  const RunRecord& record_;
  const ModelOpener& open_model_;
  RunControl& control_;
  FrameHistory& history_;
  const std::function<void(const std::string&)>& say_;
};

}  // namespace

Result<FrameHistory> open_history(SessionReader& reader, const RunRecord& record, int64_t n_processed) {
  FrameHistory history(kHistoryBytes);
  history.reset(run_info(record));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Token> tokens, reader.tokens(record.run));
  for (const Token& token : tokens) history.add_token(token);
  ORRERY_ASSIGN_OR_RETURN(const std::vector<RunEvent> events, reader.events(record.run));
  for (const RunEvent& event : events) history.add_event(event);
  // The newest step tells the history, and so the views, how far the run has come.
  for (const Probe* probe : offered_probes(record.config)) {
    if (n_processed > 0)
      ORRERY_RETURN_IF_ERROR(add_recorded(reader, *probe, record.run, n_processed - 1, n_processed, history));
  }
  return history;
}

Result<void> fetch_wanted(SessionReader& reader, const RunRecord& record, const View& view, const ViewState& state,
                          const ModelOpener& open_model, RunControl& control, FrameHistory& history,
                          const std::function<void(const std::string&)>& say) {
  history.set_cursor(resolve(history, state).step);
  WantedFetch fetch(reader, record, open_model, control, history, say);
  for (const Wanted& wanted : view.wanted(history, state)) {
    if (is_offered(*wanted.probe, record.config)) ORRERY_RETURN_IF_ERROR(fetch.frames(wanted));
  }
  if (const auto wanted = view.wanted_mass(history, state)) ORRERY_RETURN_IF_ERROR(fetch.mass(*wanted));
  return {};
}

std::shared_ptr<const Tokenizer> recorded_tokenizer(const RunRecord& record, const std::string& model) {
  const Result<std::string> path = find_recorded_model(record, model);
  if (!path) return nullptr;
  Result<std::shared_ptr<const ModelFile>> file = ModelFile::open(*path);
  if (!file) return nullptr;
  Result<std::shared_ptr<const Tokenizer>> tokenizer = open_tokenizer(std::move(*file));
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

}  // namespace orrery
