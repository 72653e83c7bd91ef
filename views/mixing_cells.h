// The numbers behind the mixing view, without any drawing: what every mixer of every layer reads at one step, by key.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

enum class LaneKind : uint8_t { kAttention, kState, kTaps, kFastWeights };

// One mixer of one layer (in a loop: of one visit). A short convolution before a recurrence is a mixer of its own here.
struct MixingLane {
  int32_t layer = 0;
  LaneKind kind = LaneKind::kAttention;
  std::string name;     // "7 Mamba-2", "7 attention, window 512", "7 convolution"
  int32_t n_heads = 0;  // 0: it has none (taps are means over channels)
  int64_t window = 0;   // attention: keys before t - window + 1 are not seen; 0: all are
};
// In the order of layers; of a layer, in the order of its mixers.
std::vector<MixingLane> mixing_lanes(const ModelConfig& config);

// What a lane's weights are.
enum class LaneForm : uint8_t {
  kMissing,
  kExact,      // attention.row: a weight a key
  kBlockMass,  // attention.mass: sums of 64 keys
  kImplied,    // state.row: signed
  kTaps,       // conv.taps, each at the key that it reads
  kLeft,       // recorded, but the token was not in that iteration of a loop
};
const char* lane_form_name(LaneForm form);  // "exact"
// Why a lane is missing, and how to get it.
const char* why_missing(LaneKind kind);

// A lane over keys: its heads together (the weight that is greatest in size, with its sign), in bins.
struct LaneCells {
  LaneForm form = LaneForm::kMissing;
  StepRange keys;            // what is covered; begins and ends on blocks where the form is block mass
  int64_t keys_per_col = 1;  // 64 where the form is block mass; else a power of two
  int cols = 0;
  std::vector<float>
      values;        // [cols]; NaN: no key that is seen: later than the step, or outside the window or the taps
  float most = 0;    // greatest size
  int n_heads = 0;   // that are held and taken together
  StepRange unseen;  // keys before the window; empty: none
  FrameRow row;      // empty: missing
};
// Attention is exact where the rows of all heads are held, else block mass, else of the heads that are held.
// prefers_blocks: block mass even where exact rows are held.
LaneCells lane_cells(const FrameHistory& history, const MixingLane& lane, int64_t step, StepRange keys, int max_cols,
                     bool prefers_blocks = false);

// One head of a lane, by key up to the step: [step + 1], or the sums of blocks.
struct LaneRow {
  LaneForm form = LaneForm::kMissing;
  int64_t keys_per_value = 1;
  std::vector<float> values = {};  // NaN: not seen
  float left_out = 0;              // attention of which only the 32 largest are known: the weight of the others
  std::vector<std::pair<int64_t, float>> top = {};  // the 32 largest, where the form is block mass and they are held
  FrameRow row = {};
};
LaneRow lane_row(const FrameHistory& history, const MixingLane& lane, int32_t head, int64_t step);

// Whether exact rows of all layers and heads are more numbers than a frame's time allows to read.
bool is_long_for_rows(const FrameHistory& history, int64_t step);

}  // namespace orrery
