// The numbers behind the routing view, without any drawing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

// Layers x experts.
struct RoutingCells {
  // Steps that are counted at most, the newest: a longer run is not counted anew for every picture.
  static constexpr int64_t kMostSteps = 4096;

  std::vector<int32_t> layers;               // with experts; rows
  std::vector<int32_t> n_experts, n_chosen;  // of each layer
  int32_t n_columns = 0;                     // the most experts that any layer has
  // [layers, n_columns] at the step: the weight of a chosen expert, 0 for the others; NaN: no such expert in the layer,
  // an iteration that the token was not in, or not recorded.
  std::vector<float> weights;
  // [layers, n_columns]: the share of the counted tokens that went to the expert; NaN: no such expert, or
  // nothing counted.
  std::vector<float> shares;
  StepRange counted;     // ends with the step
  int64_t n_tokens = 0;  // of them, recorded
  FrameRow chosen_row;   // at the step, and the last that was counted where there is none; empty: none
  FrameRow weights_row;

  // The share that every expert would have if all were chosen alike: chosen / experts.
  double uniform(size_t row) const;
};
// Empty layers where there are more cells than can be drawn (2^24).
RoutingCells routing_cells(const FrameHistory& history, StepRange steps, int64_t step);

// [rows, n] to [rows, ceil(n / per_cell)]: the greatest of each cell; NaN where all are missing.
std::vector<float> greatest_in_bins(const std::vector<float>& values, int64_t n, int64_t per_cell);

// The weight that a token's list of chosen experts gives to one of them: 0 where it is not among them.
float weight_of(std::span<const int32_t> experts, std::span<const float> weights, int32_t expert);

// Where a layer sends the token of a step; -1 and NaN where not recorded.
struct ChosenExpert {
  int32_t expert = -1;
  float weight = 0;
};
std::vector<ChosenExpert> chosen_experts(const FrameHistory& history, int32_t layer, int64_t step);

}  // namespace orrery
