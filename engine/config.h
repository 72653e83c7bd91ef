// ModelConfig: the sizes of a model, derived from its configuration and its tensors, never from a family's usual
// values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/matrix_state.h"
#include "kernels/moe.h"
#include "kernels/rope.h"

namespace orrery {

enum class MixerKind : uint8_t { kAttention, kShortConv, kMatrixState };
enum class FeedForwardKind : uint8_t { kNone, kDense, kMoe };

// How frequencies change once a sequence is longer than `length` tokens. Keys that are cached stay as they were turned.
struct RopeBeyond {
  int64_t length = 0;              // 0: they never change
  double base = 0.0;               // dynamic NTK: base * (factor * L / length - (factor - 1))^(n_rot / (n_rot - 2)),
  double factor = 1.0;             // L being the sequence's length
  std::vector<float> frequencies;  // LongRoPE: [n_rot / 2], used instead; empty for dynamic NTK

  bool operator==(const RopeBeyond&) const = default;
};

struct RopeConfig {
  RopePairing pairing = RopePairing::kHalfSplit;
  std::vector<float> inverse_frequencies;  // [n_rot / 2] radians per position; empty: no rotation
  float magnitude = 1.0f;                  // multiplies sine and cosine
  RopeBeyond beyond;

  // The frequencies of a pass after which the sequence is `length` tokens long.
  std::vector<float> frequencies_at(int64_t length) const;
  bool operator==(const RopeConfig&) const = default;
};

// What an attention's output is multiplied with, by sigmoid(of a projection of the layer's input).
enum class AttentionGate : uint8_t { kNone, kElement, kHead };

struct AttentionConfig {
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;
  int32_t d_head_k = 0;
  int32_t d_head_v = 0;
  float scale = 0.0f;
  // A sigmoid adds -ln(number of keys that are seen) to the scores.
  AttentionNormaliser normaliser = AttentionNormaliser::kSoftmax;
  float score_cap = 0.0f;      // scaled scores x become cap * tanh(x / cap); 0: they stay
  bool qk_norm = false;        // queries and keys are normed before they turn, head by head
  bool whole_qk_norm = false;  // or all heads as one
  float clip = 0.0f;           // queries, keys and values are kept within [-clip, clip], then turn; 0: they stay
  bool has_sinks = false;      // a learned logit per head takes a share of the softmax
  AttentionGate gate = AttentionGate::kNone;
  int64_t window = 0;  // keys t - window + 1 .. t are seen; 0: all of them
  RopeConfig rope;
};

// The short convolution of a layer: a mixer by itself (gated), or the one before a recurrence.
struct ConvConfig {
  int32_t n_taps = 0;  // 0: none
  int64_t n_channels = 0;
  bool is_gated = false;  // gates before and after it
};

// What a layer with a matrix state computes around the recurrence of kernels/matrix_state.h.
enum class Recurrence : uint8_t { kMamba1, kMamba2, kGatedDelta, kRetention, kLightning };

struct MatrixStateConfig {
  Recurrence recurrence = Recurrence::kMamba2;
  MatrixStateSizes sizes;
  int32_t n_stat_heads = 0;  // along the head axis of state.*: the heads, or groups of Mamba-1's channels
};

struct MoeConfig {
  RouterConfig router;
  int64_t d_expert = 0;  // width of an expert's feed-forward
  ClippedGate clipped;   // with a limit: how gate and up are joined, in place of the layer's activation (gpt-oss)
  int64_t d_shared = 0;  // of the one that every token takes; 0: none
};

struct LayerConfig {
  std::vector<MixerKind> mixers;  // more than one: they run in parallel and are summed
  AttentionConfig attention;      // meaningful where mixers has kAttention
  ConvConfig conv;                // where it has kShortConv, and for recurrences that have one
  MatrixStateConfig state;        // where it has kMatrixState
  FeedForwardKind feed_forward = FeedForwardKind::kDense;
  int64_t d_ffn = 0;                          // of a dense feed-forward
  Activation activation = Activation::kSilu;  // of a feed-forward, dense or of experts
  MoeConfig moe;                              // meaningful where feed_forward is kMoe

  bool has(MixerKind kind) const {
    for (const MixerKind mixer : mixers) {
      if (mixer == kind) return true;
    }
    return false;
  }
};

struct ModelConfig {
  std::string architecture;  // "llama"
  int64_t d_model = 0;
  int64_t vocab_size = 0;
  int64_t context_length = 0;  // positions the model was trained for; 0: not stated
  float norm_epsilon = 0.0f;
  bool tied_embedding = false;
  float embedding_scale = 1.0f;  // multiplies the embeddings
  float logit_scale = 1.0f;      // multiplies the logits, before the cap
  float logit_cap = 0.0f;        // logits x become cap * tanh(x / cap); 0: they stay
  std::vector<LayerConfig> layers;

  int32_t n_layers() const { return static_cast<int32_t>(layers.size()); }
};

// "7 attention, window 512": what the layer is, after its index. Views name layers so, never by a bare index.
std::string layer_label(const ModelConfig& config, int32_t layer);

}  // namespace orrery
