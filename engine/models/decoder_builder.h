// DecoderBuilder: puts a decoder together out of its file's tensors, block after block, so that the file of an
// architecture reads as what its blocks are.
#pragma once

#include <memory>

#include "engine/block.h"
#include "engine/blocks/dense_ffn.h"
#include "engine/model.h"
#include "engine/models/decoder_config.h"
#include "engine/models/tensor_placer.h"

namespace orrery {

class DecoderBuilder {
 public:
  // added_to_norms: what the architecture's norms add to their stored weights; it is added once, here.
  DecoderBuilder(const ModelFile& file, ModelConfig config, const Placement& placement, float added_to_norms = 0.0f,
                 const DecoderNames& names = {});

  int32_t n_layers() const { return config_.n_layers(); }
  float norm_epsilon() const { return config_.norm_epsilon; }

  // The pieces of a layer. Where a tensor is missing or of another shape, finish() says so.
  TensorView norm(TensorName name, int32_t layer);  // [d_model]
  TensorView embedding();                           // [vocab_size, d_model], placed once
  std::unique_ptr<Mixer> attention(int32_t layer, const AttentionNames& names = {});
  std::unique_ptr<FeedForward> dense_ffn(int32_t layer, const FfnNames& names = {}, const DenseFfnScales& scales = {});
  // Layer after layer; what an architecture places beyond these pieces, through place().
  void add(std::unique_ptr<Block> block);
  TensorPlacer& place() { return place_; }
  const ModelConfig& config() const { return config_; }
  const LayerConfig& layer_config(int32_t layer) const { return config_.layers[static_cast<size_t>(layer)]; }

  // With embedding, final norm and unembedding; or the first error.
  Result<ModelParts> finish();

 private:
  TensorPlacer place_;
  ModelConfig config_;
  float added_to_norms_;
  DecoderNames names_;
  TensorView embedding_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

// Llama's blocks, which most decoders share: x += attention(norm(x)); x += ffn(norm(x)). Heads that norm their queries
// and keys, biases, windows and rotations are as the configuration and the tensors have them.
Result<ModelParts> build_pre_norm_decoder(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
