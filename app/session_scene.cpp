#include "app/session_scene.h"

#include <algorithm>

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
  const int64_t n_processed = history.n_processed();
  history.set_cursor(resolve(history, state).step);
  for (const Wanted& wanted : view.wanted(history, state)) {
    if (!is_offered(*wanted.probe, record.config)) continue;
    const int64_t cell = steps_per_cell(wanted.level);
    const int64_t end = std::min(wanted.end, n_processed / cell * cell);
    for (const auto& [from, to] : history.missing(*wanted.probe, wanted.begin, end, wanted.level)) {
      ORRERY_RETURN_IF_ERROR(add_recorded(reader, *wanted.probe, record.run, from, to, history, wanted.level));
    }
    const auto missing = history.missing(*wanted.probe, wanted.begin, end, wanted.level);
    if (missing.empty() || !open_model) continue;
    ORRERY_ASSIGN_OR_RETURN(const OpenedModel* opened, open_model());
    ExtraTaps taps;
    taps.mask.probes = {wanted.probe};
    taps.begin = missing.front().first;
    taps.end = missing.back().second;
    const std::vector<Token> tokens(history.tokens().begin(), history.tokens().end());
    const CheckpointSource source{.reader = reader, .record = record, .say = say};
    ORRERY_RETURN_IF_ERROR(recompute(
        *opened, record.run, tokens, taps,
        [&](const Frame& frame) -> Result<void> {
          history.add_frame(frame);
          return {};
        },
        {}, control, &source));
  }
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
