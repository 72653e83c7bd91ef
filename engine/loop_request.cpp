#include "engine/loop_request.h"

#include <string>

namespace orrery {

namespace {

// What a session can hold; and more visits of layers than any model makes.
constexpr int64_t kMostVisits = 4096;

Error refused(const std::string& sentence) { return {ErrorCode::kInvalidArgument, sentence}; }

std::string range_text(int32_t begin, int32_t end) { return std::to_string(begin) + ":" + std::to_string(end); }

Result<void> set_layers(const LoopRequest& request, const ModelConfig& config, const ModelFile& file,
                        LoopConfig& loop) {
  const std::string name = file.name();
  if (config.loop.any()) {
    if (!request.layers || *request.layers == std::pair(loop.begin, loop.end)) return {};
    return refused("--loop-layers is for models without a loop of their own, but " + name + " loops over its layers " +
                   range_text(loop.begin, loop.end) +
                   "; leave it out: " + range_text(request.layers->first, request.layers->second));
  }
  if (!request.layers) {
    return refused(name + " has no loop of its own; name the layers to go through several times, as in --loop-layers " +
                   range_text(config.n_layers() / 3, config.n_layers() / 3 + 1 + config.n_layers() / 3));
  }
  const auto [begin, end] = *request.layers;
  if (begin < 0 || end <= begin || end > config.n_layers()) {
    return refused("--loop-layers takes a half-open range of the " + std::to_string(config.n_layers()) + " layers of " +
                   name + ", as in 0:" + std::to_string(config.n_layers()) + ", not: " + range_text(begin, end));
  }
  loop.begin = begin;
  loop.end = end;
  return {};
}

Result<void> set_iterations(const LoopRequest& request, const ModelConfig& config, LoopConfig& loop) {
  if (request.n_iterations) loop.n_iterations = *request.n_iterations;
  const int64_t others = config.n_layers() - (loop.end - loop.begin);
  const int64_t most = (kMostVisits - others) / (loop.end - loop.begin);
  if (loop.n_iterations >= 1 && loop.n_iterations <= most) return {};
  return refused("--loops takes how many times the layers " + range_text(loop.begin, loop.end) +
                 " are gone through, from 1 to " + std::to_string(most) +
                 ", not: " + std::to_string(loop.n_iterations));
}

Result<void> set_exit(const LoopRequest& request, const ModelFile& file, LoopConfig& loop) {
  if (!request.exit) return {};
  loop.rule = request.exit->rule;
  loop.threshold = request.exit->threshold;
  if (loop.rule == ExitRule::kGate && !loop.has_gate) {
    return refused("--exit gate needs a model with a learned gate, which " + file.name() +
                   " does not have; use fixed, step:T or kl:T");
  }
  if (loop.rule != ExitRule::kFixed && !(loop.threshold > 0.0f)) {
    return refused("--exit needs a threshold above 0, not: " + std::to_string(loop.threshold));
  }
  return {};
}

}  // namespace

LoopRequest LoopRequest::of(const LoopConfig& recorded) {
  if (!recorded.any()) return {};
  return {.n_iterations = recorded.n_iterations,
          .layers = std::pair(recorded.begin, recorded.end),
          .exit = Exit{.rule = recorded.rule, .threshold = recorded.threshold},
          .cache = recorded.cache};
}

Result<LoopConfig> apply(const LoopRequest& request, const ModelConfig& config, const ModelFile& file) {
  LoopConfig loop = config.loop;
  if (!request.any()) return loop;
  ORRERY_RETURN_IF_ERROR(set_layers(request, config, file, loop));
  ORRERY_RETURN_IF_ERROR(set_iterations(request, config, loop));
  ORRERY_RETURN_IF_ERROR(set_exit(request, file, loop));
  if (request.cache) loop.cache = *request.cache;
  if (!config.loop.any() && loop.n_iterations == 1) return config.loop;
  return loop;
}

}  // namespace orrery
