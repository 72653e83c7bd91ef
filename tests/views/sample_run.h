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
