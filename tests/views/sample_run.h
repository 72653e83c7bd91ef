// A made-up run with the shapes of a real one: what tests and benchmarks of the views draw. Attention has a sink, the
// previous token, and heads that look back to a repeated word; every number follows from (step, layer, head, key).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/view.h"

namespace orrery {

struct SampleRun {
  int32_t n_layers = 30;
  int32_t n_heads = 9;
  int64_t exact_steps = 512;  // attention.row is there for steps below this
  int64_t n_prompt = 24;
  Origin origin = Origin::kLive;

  RunInfo info() const;
  Token token(int64_t step) const;
  // exp-normalised over keys 0..step
  std::vector<float> weights(int64_t step, int32_t layer, int32_t head) const;
  // All probes of one step, as a decoding engine publishes them.
  FrameBatch batch(int64_t step) const;
  // A history of n processed steps and one sampled token.
  FrameHistory history(int64_t n_steps, size_t max_bytes = size_t{1} << 30) const;
};

// A made-up hybrid: 0 Mamba-2 (6 heads), 1 attention (9 heads) with 3 of 8 experts, 2 Mamba in groups of channels with
// 2 of 6 experts, 3 attention (2 heads) beside Mamba-2 (40 heads), and so on round. Every number follows from step,
// layer and head.
struct HybridRun {
  int32_t n_layers = 8;
  bool has_attention = true;  // else all layers are as 0 and 2

  RunInfo info() const;
  float norm(int64_t step, int32_t layer, int32_t head) const;
  float write(int64_t step, int32_t layer, int32_t head) const;
  float keep(int64_t step, int32_t layer, int32_t head) const;
  float erase(int64_t step, int32_t layer, int32_t head) const;
  float read(int64_t step, int32_t layer, int32_t head) const;
  std::vector<int32_t> experts(int64_t step, int32_t layer) const;  // as many as the layer chooses
  // The probes of states, experts and the cache at one step, and the outputs.
  FrameBatch batch(int64_t step) const;
  FrameHistory history(int64_t n_steps) const;
};

// A made-up model that learns while it reads: 0 TTT-Linear (3 heads), 1 attention (2 heads), 2 TTT-MLP (5 heads), and
// so on round. Every number follows from probe, step, layer and head.
struct FastRun {
  static constexpr const char* kProbes[] = {"fast.loss_before", "fast.loss_after", "fast.rate", "fast.update",
                                            "fast.drift"};
  int32_t n_layers = 3;

  RunInfo info() const;
  float value(size_t probe, int64_t step, int32_t layer, int32_t head) const;
  FrameBatch batch(int64_t step) const;  // the probes of fast weights at one step
  FrameHistory history(int64_t n_steps) const;
};

// A frame of one step made of floats; `inner` are the sizes after [t, layer].
Frame make_frame(const char* probe, int64_t step, std::vector<int32_t> layers, std::vector<int64_t> inner,
                 const std::vector<float>& values, Origin origin = Origin::kLive);
Frame make_frame_i64(const char* probe, int64_t step, std::vector<int32_t> layers, std::vector<int64_t> inner,
                     const std::vector<int64_t>& values);
Frame make_frame_i32(const char* probe, int64_t step, std::vector<int32_t> layers, std::vector<int64_t> inner,
                     const std::vector<int32_t>& values);

// The words of the sample text as a vocabulary.
class SampleTexts final : public TokenTexts {
 public:
  std::string bytes(int32_t id) const override;
};

// The values of every text item of a scene and its panels, with their rectangles in the scene's coordinates.
struct PlacedText {
  std::string text;
  TextRole role;
  Rect rect;
};
std::vector<PlacedText> placed_texts(const Scene& scene, const TextMetrics& metrics, Point origin = {});

}  // namespace orrery
