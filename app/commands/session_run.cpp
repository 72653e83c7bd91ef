#include "app/commands/session_run.h"

#include <algorithm>
#include <filesystem>

#include "app/commands/console.h"

namespace orrery {

Result<OpenedRun> open_run(const Options& options, const std::string& session) {
  OpenedRun opened;
  if (options.has("--run") && options.integer("--run", 0) < 1) {
    return Error{ErrorCode::kInvalidArgument,
                 "--run takes the number of a run, from 1 on, not: " + options.text("--run")};
  }
  ORRERY_ASSIGN_OR_RETURN(opened.reader, SessionReader::open(session.empty() ? options.text("SESSION") : session));
  ORRERY_ASSIGN_OR_RETURN(opened.record, opened.reader->run(options.integer("--run", 0)));
  ORRERY_ASSIGN_OR_RETURN(const SessionSummary summary, opened.reader->summary());
  for (const RunSummary& run : summary.runs) {
    if (run.record.run != opened.record.run) continue;
    for (const ProbeSummary& probe : run.probes) {
      for (const auto& range : probe.step_ranges) opened.n_processed = std::max(opened.n_processed, range.second);
    }
  }
  return opened;
}

Result<OpenedModel> open_recorded_model(const RunRecord& record, const Options& options) {
  ORRERY_ASSIGN_OR_RETURN(const ModelChoice choice, recorded_choice(record, model_choice(options)));
  return open_chosen_model(choice);
}

Result<void> check_out(const std::string& out, const std::string& session) {
  std::error_code ignored;
  if (out.empty()) return Error{ErrorCode::kInvalidArgument, "--out needs the name of a file: \"\""};
  if (std::filesystem::equivalent(out, session, ignored)) {
    return Error{ErrorCode::kInvalidArgument, "--out is the session itself; name another file: " + out};
  }
  return {};
}

void show_rerun_progress(const RunProgress& progress) {
  show_progress("running again: " + std::to_string(progress.n_done) + " of " + std::to_string(progress.n_total) +
                (progress.prefill ? " prompt tokens" : " new tokens"));
}

std::string ranges_text(const std::vector<std::pair<int64_t, int64_t>>& ranges) {
  std::string text;
  for (const auto& [begin, end] : ranges) {
    text += (text.empty() ? "" : ", ") + std::to_string(begin) + ":" + std::to_string(end);
  }
  return text;
}

}  // namespace orrery
