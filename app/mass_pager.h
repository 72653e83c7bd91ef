// MassPager: reads the block mass of a run through the map of the one head that is gathered
// (FrameHistory::gather_mass): of each Frame the head's blocks are taken, and it is let go of. So the map is whole
// where the Frames of all heads, 1 MB a step at 32,768 tokens of 32 layers x 32 heads, would not fit into memory.
//
// Coarse to fine: first cells so long that all of what is shown is read at once, then cells as fine as a picture shows,
// then the steps, where a picture shows them or a recording has no cells. Newest first, on the source's thread. UI
// thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "probes/frame_history.h"
#include "probes/frame_source.h"
#include "views/view.h"

namespace orrery {

class MassPager {
 public:
  // `open` is asked for the source when something is missing, once; it may have none.
  using Open = std::function<std::unique_ptr<FrameSource>()>;
  explicit MassPager(Open open) : open_(std::move(open)) {}

  // Asks for what the gathered map lacks of it; one request at most is under way, and what was asked for once is not
  // asked for again until another head is gathered.
  void want(const FrameHistory& history, const WantedMass& wanted);
  // Takes what was read; true where there was any.
  bool take(FrameHistory& history);
  // Whether nothing was asked for that has not come.
  bool idle() const { return !in_flight_; }

 private:
  struct Part {  // of steps, in cells of one depth
    int depth = 0;
    StepRange steps;
  };
  std::optional<Part> next(const HeadMassMap& map, StepRange steps) const;
  std::optional<Part> newest_lacking(const HeadMassMap& map, int depth, StepRange steps, int64_t most_values,
                                     int known_level = 0) const;
  int64_t n_values(int depth, StepRange steps) const;
  bool was_asked(int depth, int64_t cell) const;
  void mark_asked(const Part& part, bool asked);

  Open open_;
  std::unique_ptr<FrameSource> source_;
  bool is_open_ = false;
  std::optional<Part> in_flight_;
  int32_t layer_ = -1;
  int32_t head_ = -1;
  int64_t n_heads_ = 0;                                 // of all layers
  int64_t n_processed_ = 0;                             // steps of the run
  std::array<std::vector<bool>, kMaxDepth + 1> asked_;  // cell by cell
};

}  // namespace orrery
