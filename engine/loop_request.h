// LoopRequest: what a user asks of a model's loop, or of one that layers without a loop are to run in.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "engine/config.h"
#include "engine/model_file.h"
#include "kernels/base/result.h"

namespace orrery {

struct LoopRequest {
  std::optional<int32_t> n_iterations;
  // Half-open, of the architecture's layers; for a model that has no loop of its own, and then the training-free one.
  std::optional<std::pair<int32_t, int32_t>> layers;
  struct Exit {
    ExitRule rule = ExitRule::kFixed;
    float threshold = 0.0f;
  };
  std::optional<Exit> exit;
  std::optional<LoopCache> cache;

  bool any() const { return n_iterations || layers || exit || cache; }
  // What loads a model again as it was when this was recorded.
  static LoopRequest of(const LoopConfig& recorded);
};

// The loop that a model gets; `config` is the architecture's, not unrolled. One iteration of layers that have no loop
// of their own is no loop. kInvalidArgument names the option, its value and what it may be.
Result<LoopConfig> apply(const LoopRequest& request, const ModelConfig& config, const ModelFile& file);

}  // namespace orrery
