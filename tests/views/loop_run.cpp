#include "tests/views/loop_run.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kIterations = 5;

}  // namespace

RunInfo LoopRun::info() const {
  RunInfo info = SampleRun{.n_layers = 3, .n_heads = 2}.info();
  info.config.loop.begin = 1;
  info.config.loop.end = 2;
  info.config.loop.n_iterations = kIterations;
  info.config.loop.rule = ExitRule::kStep;
  info.config.loop.threshold = 0.25f;
  info.config.loop.has_gate = has_gate;
  info.config = unrolled(std::move(info.config));
  info.layer_labels.clear();
  for (int32_t i = 0; i < info.config.n_layers(); ++i) info.layer_labels.push_back(layer_label(info.config, i));
  return info;
}

float LoopRun::step_size(int64_t step, int32_t iteration) {
  if (iteration >= depth(step)) return kNan;
  return 2.0f / static_cast<float>(1 + iteration) + 0.01f * static_cast<float>(step);
}

float LoopRun::cosine(int64_t step, int32_t iteration) {
  if (iteration == 0 || iteration >= depth(step)) return kNan;
  return std::cos(static_cast<float>(step + iteration));
}

float LoopRun::exit(int64_t step, int32_t iteration) {
  return iteration < depth(step) ? 1.0f / static_cast<float>(depth(step)) : kNan;
}

void LoopRun::add_step(FrameHistory& history, int64_t step) const {
  std::vector<float> steps, cosines, exits;
  for (int32_t i = 0; i < kIterations; ++i) {
    steps.push_back(step_size(step, i));
    cosines.push_back(cosine(step, i));
    exits.push_back(exit(step, i));
  }
  history.add_frame(make_frame_i32("loop.depth", step, {}, {}, {depth(step)}));
  history.add_frame(make_frame("loop.step", step, {}, {kIterations}, steps));
  history.add_frame(make_frame("loop.cosine", step, {}, {kIterations}, cosines));
  if (has_gate) history.add_frame(make_frame("loop.exit", step, {}, {kIterations}, exits));
}

FrameHistory LoopRun::history(int64_t n_steps) const {
  FrameHistory history;
  history.reset(info());
  for (int64_t step = 0; step < n_steps; ++step) {
    history.add_token(SampleRun{}.token(step));
    add_step(history, step);
  }
  return history;
}

}  // namespace orrery
