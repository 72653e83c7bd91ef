// View: a pure function from what is held of a run and what the user looks at to a Scene.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/frame_history.h"
#include "views/scene.h"
#include "views/text_metrics.h"
#include "views/view_state.h"

namespace orrery {

// The bytes of tokens that were not fed (candidates). Views work without one and then name such tokens by their ids.
class TokenTexts {
 public:
  virtual ~TokenTexts() = default;
  // Empty where the id is unknown. UI thread.
  virtual std::string bytes(int32_t id) const = 0;
};

// A note: what the timeline marks, and where a click on the mark leads.
struct NoteMark {
  int64_t step = 0;
  std::string text = {};
  std::shared_ptr<const ViewState> view = {};  // what was looked at when it was written
};

struct SceneInput {
  const FrameHistory& history;
  const ViewState& state;
  Size size;
  const TextMetrics& metrics;
  const TokenTexts* texts = nullptr;
  std::string_view no_exact_row = {};  // why the exact row that is looked at is not held, and what to do; a sentence
  bool row_may_come = false;           // it is being computed, or will be
  std::span<const NoteMark> notes = {};
};

// Steps of a probe that a view would draw now: what to fetch of a recording, and what to tap of a live run.
struct Wanted {
  const Probe* probe = nullptr;
  int64_t begin = 0;  // half-open; of a coarse level: multiples of its cells
  int64_t end = 0;
  int32_t level = 0;  // probes/levels.h
};

// The row over keys that a view looks at, all of it: where it is not held, it can be computed again.
struct WantedRow {
  const Probe* probe = nullptr;  // attention.row or state.row
  int64_t step = 0;
  int32_t layer = 0;
  int32_t head = 0;
  bool operator==(const WantedRow&) const = default;
};

// The block mass of one head that a view draws over many steps: gathered (FrameHistory::gather_mass), since the Frames
// of all heads would not fit.
struct WantedMass {
  int32_t layer = 0;
  int32_t head = 0;
  StepRange steps;
};

// UI thread, or any one thread with a history of its own. Stateless: equal inputs give equal scenes.
class View {
 public:
  virtual ~View() = default;
  virtual std::string_view name() const = 0;   // "attention", as in `shot --view`
  virtual std::string_view title() const = 0;  // "Attention"
  // Why a model cannot have this view, in a sentence; nothing where it can.
  virtual std::optional<std::string> unavailable(const RunInfo& info) const = 0;
  virtual std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const = 0;
  virtual std::optional<WantedMass> wanted_mass(const FrameHistory&, const ViewState&) const { return std::nullopt; }
  virtual std::optional<WantedRow> wanted_row(const FrameHistory&, const ViewState&) const { return std::nullopt; }
  // Any size from 0 x 0; detail is dropped before anything overlaps.
  virtual Scene scene(const SceneInput& input) const = 0;
};

}  // namespace orrery
