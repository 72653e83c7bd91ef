// ExactRows: what views look at and no recording has: exact rows of attention, and those that recurrent states imply.
// Asks the engine for them, one at a time, keeps what was refused and why, and says what a person can do about a row
// that is missing. UI thread only; nothing here waits for the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "app/window/engine_thread.h"
#include "probes/frame_history.h"
#include "views/view.h"

namespace orrery {

// Where rows of the run on the screen can come from.
struct RowSources {
  bool is_held = false;       // the engine holds the run, its past with it
  bool is_growing = false;    // and makes tokens at this moment
  bool is_replayed = false;   // a recording, growing at the recorded pace
  bool is_loading = false;    // a recording, of which more may be found on the disk
  bool may_be_fed = false;    // at rest, so that the engine has time to feed its recorded tokens again
  bool is_its_model = false;  // the open model made it
  std::string_view session;   // that holds its tokens; empty: it was not recorded
};

class ExactRows {
 public:
  // All three outlive this.
  ExactRows(EngineThread& engine, FrameHistory& history, const ViewState& view)
      : engine_(engine), history_(history), view_(view) {}

  // The row that `view` looks at, if it is not held and can be had.
  void want(const View& view, const RowSources& sources);
  // Why that row is not held, and what to do about it; empty where it is, or none is wanted.
  std::string why_not(const View& view, const RowSources& sources) const;
  bool may_come(const View& view, const RowSources& sources) const;  // it is being computed, or will be
  // A run is being fed to the model again: tokens so far, and in all.
  std::optional<std::pair<int64_t, int64_t>> feeding_again() const;

  void stop();             // the row under way; it is not asked for again
  void run_changed();      // on the screen: what the engine still answers is about another
  void model_changed();    // the engine has dropped what was under way, and may do what it refused
  void request_dropped();  // the engine has dropped what was under way
  void take(const engine_event::RowProgress& progress);
  // Moves the row into the history. What the conditions differ in from the run's own, the first time: bits may.
  std::string take(const engine_event::RowRecalled& recalled);

 private:
  std::optional<WantedRow> lacking(const View& view) const;
  RowRequest request_of(const WantedRow& wanted, const RowSources& sources) const;
  bool may_recall(const RowSources& sources) const;
  bool may_recompute(const RowSources& sources) const;
  bool may_compute(const WantedRow& wanted, const RowSources& sources) const;

  EngineThread& engine_;
  FrameHistory& history_;
  const ViewState& view_;
  uint64_t tag_ = 0;  // of the run on the screen: answers about another are dropped
  std::optional<RowRequest> in_flight_;
  std::pair<int64_t, int64_t> progress_{0, 0};  // of the one in flight: tokens fed, and in all
  std::optional<RowRequest> refused_;
  std::string why_refused_;
  bool has_remarked_ = false;  // on the run's other conditions
};

}  // namespace orrery
