// Layers of test-time training (Sun et al. 2024): their sizes from settings and tensors, their weights. For the
// architectures that have such layers.
#pragma once

#include <memory>

#include "engine/model_file.h"
#include "engine/models/decoder_builder.h"

namespace orrery {

// Folders only: no GGUF file has such layers.
struct TttNames {
  TensorName q, k, v, out;
  TensorName gate;                                      // where TttKind says so
  TensorName q_taps, q_taps_bias, k_taps, k_taps_bias;  // in place of k, where TttKind says so
  TensorName rate, rate_bias;                           // of every head's step size
  TensorName share;                                     // learned, added to 1 / place in the mini-batch
  TensorName norm, norm_bias;                           // of the inner loss
  TensorName post, post_bias;                           // after the layer
  TensorName w1, b1, w2, b2;                            // the inner model at the first token
};

struct TttKeys {
  ConfigKey n_heads;
  ConfigKey batch_size;  // may be left out: the length of TttNames::share
  ConfigKey base_rate;   // 1 where it is left out
  ConfigKey theta;       // base of the rotation within a mini-batch; 10000 where it is left out
  ConfigKey taps;        // of the convolutions of queries and keys
};

struct TttKind {
  FastModel model = FastModel::kLinear;
  bool shares_qk = false;  // keys and queries are convolutions of one projection
  bool has_gate = false;
};

// Fills `fast` of the layers that have fast weights; what is stated must agree with the tensors. kInvalidFile.
Result<void> read_ttt_layers(const ModelFile& file, const TttKeys& keys, const TttNames& names, const TttKind& kind,
                             ModelConfig& config);

// kInvalidFile for settings that cannot be; of tensors the builder's `finish` tells.
Result<std::unique_ptr<Mixer>> ttt_mixer(const ModelFile& file, DecoderBuilder& decoder, int32_t layer,
                                         const TttKeys& keys, const TttNames& names, const TttKind& kind);

}  // namespace orrery
