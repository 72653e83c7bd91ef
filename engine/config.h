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

enum class MixerKind : uint8_t { kAttention, kShortConv, kMatrixState, kFastWeights };
// kChannelMix: RWKV's, of a token and the one before it.
enum class FeedForwardKind : uint8_t { kNone, kDense, kMoe, kChannelMix };

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
  // Latent attention: what is cached of a token, shared by all heads: d_latent numbers that keys and values are made
  // of, and d_shared_rope that turn and are a part of every key. 0: keys and values themselves are cached.
  int32_t d_latent = 0;
  int32_t d_shared_rope = 0;
  int32_t d_query_latent = 0;  // numbers that its queries are made of; 0: they are made of the input
  RopeConfig rope;
};

// The short convolution of a layer: a mixer by itself (gated), or the one before a recurrence.
struct ConvConfig {
  int32_t n_taps = 0;  // 0: none
  int64_t n_channels = 0;
  bool is_gated = false;  // gates before and after it
};

// What a layer with a matrix state computes around the recurrence of kernels/matrix_state.h.
enum class Recurrence : uint8_t {
  kMamba1,
  kMamba2,
  kGatedDelta,
  kRetention,
  kLightning,
  kKimiDelta,  // a delta net whose decays differ by channel
  kRwkv7,
  kRgLru,
};

struct MatrixStateConfig {
  Recurrence recurrence = Recurrence::kMamba2;
  MatrixStateSizes sizes;
  int32_t n_stat_heads = 0;  // along the head axis of state.*: the heads, or groups of Mamba-1's channels
};

// Weights that a layer learns while it reads: test-time training. Source: Sun et al. 2024 (TTT).
enum class FastModel : uint8_t {
  kLinear,  // one matrix a head
  kMlp,     // two, with a GELU in between
};

struct FastWeightsConfig {
  FastModel model = FastModel::kLinear;
  int32_t n_heads = 0;
  int32_t d_head = 0;
  int32_t d_hidden = 0;    // of the MLP
  int32_t batch_size = 0;  // tokens whose gradients are taken at the same weights
  int32_t n_qk_taps = 0;   // of the convolutions of queries and of keys; 0: none, each has a projection of its own
};

struct MoeConfig {
  RouterConfig router;
  int64_t d_expert = 0;  // width of an expert's feed-forward
  ClippedGate clipped;   // with a limit: how gate and up are joined, in place of the layer's activation (gpt-oss)
  int64_t d_shared = 0;  // of the one that every token takes; 0: none
};

// When a token leaves a loop before its last iteration.
enum class ExitRule : uint8_t {
  kFixed,       // never: all iterations
  kGate,        // once the learned gate's probabilities of stopping sum to the threshold
  kStep,        // once |h_i - h_{i-1}| / |h_{i-1}| is below it
  kDivergence,  // once KL(p_{i-1} || p_i), nats, of what would be said there, is below it
};

// What iterations that a token has left find of it.
enum class ExitFill : uint8_t {
  kComputed,  // it goes through all of them; leaving decides what is read of it alone (Ouro)
  kFrozen,    // its state as it left, through their own norms and projections
  kLatest,    // the keys and values of the last iteration that it was in (Huginn)
};

// Whether the iterations of a layer remember apart.
enum class LoopCache : uint8_t { kOwn, kShared };

// A run of layers that tokens go through several times.
struct LoopConfig {
  int32_t begin = 0;  // of the architecture's layers; begin == end: there is no loop
  int32_t end = 0;
  int32_t n_iterations = 1;  // at most
  ExitRule rule = ExitRule::kFixed;
  float threshold = 0.0f;
  ExitFill fill = ExitFill::kFrozen;
  LoopCache cache = LoopCache::kOwn;
  bool has_gate = false;  // a learned probability of stopping, after every iteration

  bool any() const { return begin < end; }
  bool operator==(const LoopConfig&) const = default;
};

struct LayerConfig {
  // Of a looped model whose config is unrolled: which of the architecture's layers this is, and in which iteration.
  int32_t index = 0;
  int32_t iteration = 0;
  std::vector<MixerKind> mixers;  // more than one: they run in parallel and are summed
  AttentionConfig attention;      // meaningful where mixers has kAttention
  ConvConfig conv;                // where it has kShortConv, and for recurrences that have one
  MatrixStateConfig state;        // where it has kMatrixState
  FastWeightsConfig fast;         // where it has kFastWeights
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
  // The layers in the order in which a token visits them: those of a loop once for every iteration (unrolled()).
  std::vector<LayerConfig> layers;
  LoopConfig loop;

  int32_t n_layers() const { return static_cast<int32_t>(layers.size()); }
};

// The config with the loop's layers repeated for every iteration, so that what is measured and kept belongs to a visit
// of a layer. Without a loop, the layers are numbered and else as they were.
ModelConfig unrolled(ModelConfig config);

// The architecture's own layers again, without a loop.
ModelConfig rolled(const ModelConfig& config);

// "7 attention, window 512", in a loop "7 attention, loop 2" (from 1): what the layer is, after its index. Views name
// layers so, never by a bare index.
std::string layer_label(const ModelConfig& config, int32_t layer);

}  // namespace orrery
