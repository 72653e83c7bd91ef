// SharedTransformerBlock: Zamba2's layers that run a transformer block before their recurrence. With e the embedding of
// the row's token: t = ffn(norm(attention(norm([x; e])))), without residuals; x += mixer(norm(x + project t)). The
// transformer's weights are shared by several layers, its adapters and its keys and values are each layer's own.
// Source: Glorioso et al. 2024 (Zamba2), figure 2; reference class Zamba2HybridLayer.
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

struct SharedTransformerWeights {
  TensorView embedding;       // [vocab_size, d_model], as the stream begins with it
  TensorView attention_norm;  // [2 * d_model]
  TensorView ffn_norm;        // [d_model]
  TensorView project;         // [d_model, d_model]
  TensorView mixer_norm;      // [d_model]
};

class SharedTransformerBlock final : public Block {
 public:
  // attention reads 2 * d_model columns and gives d_model.
  SharedTransformerBlock(const SharedTransformerWeights& weights, float norm_epsilon, float embedding_scale,
                         std::unique_ptr<Mixer> attention, std::unique_ptr<FeedForward> feed_forward,
                         std::unique_ptr<Mixer> mixer)
      : weights_(weights),
        norm_epsilon_(norm_epsilon),
        embedding_scale_(embedding_scale),
        attention_(std::move(attention)),
        feed_forward_(std::move(feed_forward)),
        mixer_(std::move(mixer)) {}

  void forward(const Step& step, Matrix<float> x) const override;
  std::vector<StateSpec> describe_state(DType kv_dtype) const override;

 private:
  // out [n_rows, d_model] = project t
  void run_transformer(const Step& step, Matrix<const float> x, Matrix<float> out) const;

  SharedTransformerWeights weights_;
  float norm_epsilon_, embedding_scale_;
  std::unique_ptr<Mixer> attention_;
  std::unique_ptr<FeedForward> feed_forward_;
  std::unique_ptr<Mixer> mixer_;
};

}  // namespace orrery
