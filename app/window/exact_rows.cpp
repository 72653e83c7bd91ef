#include "app/window/exact_rows.h"

namespace orrery {
namespace {

// An implied row at this step takes a small model some seconds.
constexpr int64_t kFarStep = 1024;

bool is_implied(const Probe& probe) { return probe.level == Level::kRecomputed; }

std::string why_not_recomputed(const RowSources& sources) {
  if (sources.session.empty()) {
    return "cannot be computed: the engine has let go of this run's cache, and it was not recorded.";
  }
  if (sources.is_replayed) return "was not recorded; end the replay and click a step to have it computed.";
  if (!sources.is_its_model) return "was not recorded; open the run's model (Ctrl+Shift+M) to have it computed.";
  return "was not recorded; click a step to have it computed.";
}

}  // namespace

// At rest, or at a step that was chosen. Of the newest token, while it is being followed, a row would have to be
// computed twice at every step: pins do better.
bool ExactRows::may_recall(const RowSources& sources) const {
  return sources.is_held && !(sources.is_growing && view_.follow);
}

bool ExactRows::may_recompute(const RowSources& sources) const {
  const bool is_chosen = !view_.follow && view_.selected.step >= 0;
  return is_chosen && sources.may_be_fed && sources.is_its_model && !sources.session.empty();
}

// Of the newest token, an implied row is not gone a long way for unasked.
bool ExactRows::may_compute(const WantedRow& wanted, const RowSources& sources) const {
  const bool is_far = is_implied(*wanted.probe) && wanted.step >= kFarStep;
  return (may_recall(sources) || may_recompute(sources)) && !(is_far && view_.follow);
}

std::optional<WantedRow> ExactRows::lacking(const View& view) const {
  const std::optional<WantedRow> wanted = view.wanted_row(history_, view_);
  if (!wanted || wanted->step >= history_.n_processed()) return std::nullopt;
  if (history_.row_of(*wanted->probe, wanted->step, wanted->layer, wanted->head)) return std::nullopt;
  return wanted;
}

RowRequest ExactRows::request_of(const WantedRow& wanted, const RowSources& sources) const {
  return {.tag = tag_,
          .run = history_.info().run,
          .probe = wanted.probe,
          .step = wanted.step,
          .layer = wanted.layer,
          .session = std::string(may_recall(sources) ? "" : sources.session)};
}

void ExactRows::want(const View& view, const RowSources& sources) {
  const std::optional<WantedRow> wanted = lacking(view);
  if (!wanted || !may_compute(*wanted, sources)) return;
  RowRequest request = request_of(*wanted, sources);
  if (in_flight_ == request || refused_ == request) return;
  // Attention takes a step, implied rows may take all: they wait, and make way.
  if (in_flight_ && in_flight_->probe != request.probe && is_implied(*request.probe)) return;
  in_flight_ = request;
  progress_ = {0, 0};
  engine_.want_row(request);
}

bool ExactRows::may_come(const View& view, const RowSources& sources) const {
  const std::optional<WantedRow> wanted = lacking(view);
  return wanted && may_compute(*wanted, sources) && refused_ != request_of(*wanted, sources);
}

std::string ExactRows::why_not(const View& view, const RowSources& sources) const {
  const std::optional<WantedRow> wanted = lacking(view);
  if (!wanted) return {};
  const bool implied = is_implied(*wanted->probe);
  const std::string row = implied ? "The implied row " : "The exact row ";
  if (!sources.is_held && sources.is_loading) return "The recording is being read …";
  if (!sources.is_held && !may_recompute(sources)) return row + why_not_recomputed(sources);
  if (!may_compute(*wanted, sources)) {
    return implied ? "Implied rows: pause, or click a step."
                   : "Exact rows of new tokens: pin the head (P), pause, or click a step.";
  }
  if (refused_ == request_of(*wanted, sources)) return row + "could not be computed: " + why_refused_ + ".";
  if (sources.is_held && !implied) return row + "is being computed from the cache …";
  return row + "is being computed: the run's tokens are fed again …";
}

std::optional<std::pair<int64_t, int64_t>> ExactRows::feeding_again() const {
  if (!in_flight_ || (in_flight_->session.empty() && !is_implied(*in_flight_->probe))) return std::nullopt;
  return progress_;
}

void ExactRows::stop() {
  engine_.cancel_row();
  refused_ = std::exchange(in_flight_, std::nullopt);
  why_refused_ = "stopped";
}

void ExactRows::run_changed() {
  ++tag_;
  model_changed();
  has_remarked_ = false;
  engine_.cancel_row();
}

void ExactRows::model_changed() {
  request_dropped();
  refused_.reset();
}

void ExactRows::request_dropped() { in_flight_.reset(); }

void ExactRows::take(const engine_event::RowProgress& progress) {
  if (in_flight_ == progress.request) progress_ = {progress.n_done, progress.n_total};
}

std::string ExactRows::take(const engine_event::RowRecalled& recalled) {
  if (in_flight_ == recalled.request) in_flight_.reset();
  if (recalled.request.tag != tag_) return {};
  if (recalled.frame) {
    history_.add_recalled(*recalled.frame);
  } else {
    refused_ = recalled.request;
    why_refused_ = recalled.why;
  }
  return recalled.remark.empty() || std::exchange(has_remarked_, true) ? std::string() : recalled.remark;
}

}  // namespace orrery
