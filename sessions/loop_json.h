// LoopConfig as a member of run.settings, and back: how the layers of a looped model were gone through in a run.
//   {"begin", "end", "n_iterations", "rule": "fixed", "threshold", "fill": "frozen", "cache": "own", "has_gate"}
// begin and end: half-open, of the layers in model.layers.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "kernels/base/result.h"
#include "probes/run_info.h"

namespace orrery {

nlohmann::ordered_json loop_to_json(const LoopConfig& loop);
// From a stranger: kInvalidFile names the member that cannot be.
Result<LoopConfig> loop_from_json(const nlohmann::json& json);
// Whether a loop fits a model's layers, and does not make more visits of them than a session holds.
Result<void> check_loop(const LoopConfig& loop, int32_t n_layers);

}  // namespace orrery
