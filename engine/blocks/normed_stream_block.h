// NormedStreamBlock: the stream itself is normed before every part, so that what is added to is the normed one:
// x <- norm(x); x <- keep x + add mixer(x); the same for the feed-forward. Source: MiniMax 2025 (MiniMax-01); reference
// class MiniMaxDecoderLayer.
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

// How much of the normed stream is kept, and how much of what a part brings is added.
struct StreamFactors {
  float keep = 1.0f;
  float add = 1.0f;
};

struct NormedStreamConfig {
  TensorView mixer_norm = {}, ffn_norm = {};  // [d_model] f32
  float epsilon = 0.0f;
  StreamFactors mixer = {}, ffn = {};
};

class NormedStreamBlock final : public Block {
 public:
  NormedStreamBlock(const NormedStreamConfig& config, std::unique_ptr<Mixer> mixer,
                    std::unique_ptr<FeedForward> feed_forward)
      : config_(config), mixer_(std::move(mixer)), feed_forward_(std::move(feed_forward)) {}
  void forward(const Step& step, Matrix<float> x) const override;
  std::vector<StateSpec> describe_state(DType kv_dtype) const override { return mixer_->describe_state(kv_dtype); }

 private:
  NormedStreamConfig config_;
  std::unique_ptr<Mixer> mixer_;
  std::unique_ptr<FeedForward> feed_forward_;
};

}  // namespace orrery
