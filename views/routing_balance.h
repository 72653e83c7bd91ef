// How evenly a router shares tokens out, how it changes its mind from token to token, and which experts go together:
// numbers of the routing view, without any drawing.
#pragma once

#include <cstdint>
#include <vector>

#include "probes/frame_history.h"
#include "views/routing_cells.h"

namespace orrery {

// Of one layer over the counted tokens; NaN where none is.
struct LayerBalance {
  double greatest_load = 0;  // of its experts, load over ideal load: the share over equal shares
  double idle_share = 0;     // of its experts, those that no counted token went to
  double evenness = 0;       // exp(entropy of the loads) / experts: 1 where all are alike
};
std::vector<LayerBalance> balance_of(const RoutingCells& cells);  // by row

// Layers x steps: the share of a token's experts that the token before did not go to.
struct RoutingChange {
  std::vector<int32_t> layers;
  StepRange steps;
  int64_t steps_per_col = 1;
  int cols = 0;
  std::vector<float> values;       // [layers, cols]; a column is as its last recorded step; NaN: not known
  std::vector<StepRange> missing;  // columns without any, maximal, as steps
  FrameRow row;                    // the last that was read; empty: none
};
RoutingChange routing_change(const FrameHistory& history, StepRange steps, int max_cols);
// Of two lists of experts; NaN where either has none.
float change_between(std::span<const int32_t> before, std::span<const int32_t> now);

// Which experts of a layer are chosen for the same token.
struct CoActivation {
  int32_t n_experts = 0;
  int64_t n_tokens = 0;
  // [n_experts, n_experts]: the share of the counted tokens that went to both; NaN with itself, and where none is
  // counted.
  std::vector<float> shares;
};
// Empty where there are more pairs than can be drawn (2^22).
CoActivation co_activation(const FrameHistory& history, int32_t layer, StepRange counted);

// [rows, cols] to fewer of both: the greatest of each cell.
std::vector<float> greatest_in_squares(const std::vector<float>& values, int64_t n, int64_t per_cell);

}  // namespace orrery
