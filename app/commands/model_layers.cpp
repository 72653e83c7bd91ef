#include "app/commands/model_layers.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/fast_weights.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

using nlohmann::json;

const char* mixer_name(MixerKind kind) {
  switch (kind) {
    case MixerKind::kAttention:
      return "attention";
    case MixerKind::kShortConv:
      return "convolution";
    case MixerKind::kMatrixState:
      return "state";
    case MixerKind::kFastWeights:
      return "fast weights";
  }
  return "";
}

const char* feed_forward_name(FeedForwardKind kind) {
  switch (kind) {
    case FeedForwardKind::kNone:
      return "none";
    case FeedForwardKind::kDense:
      return "dense";
    case FeedForwardKind::kMoe:
      return "experts";
    case FeedForwardKind::kChannelMix:
      return "channel mix";
  }
  return "";
}

const char* recurrence_name(Recurrence recurrence) {
  switch (recurrence) {
    case Recurrence::kMamba1:
      return "mamba";
    case Recurrence::kMamba2:
      return "mamba2";
    case Recurrence::kGatedDelta:
      return "gated delta";
    case Recurrence::kRetention:
      return "retention";
    case Recurrence::kLightning:
      return "lightning attention";
    case Recurrence::kKimiDelta:
      return "kimi delta";
    case Recurrence::kRwkv7:
      return "rwkv7";
    case Recurrence::kRgLru:
      return "rg-lru";
  }
  return "";
}

std::string number(int64_t n) { return std::to_string(n); }

// "16 query heads × 192, values × 128, of a latent of 512 and 64 shared"
std::string latent_attention_text(const AttentionConfig& attention) {
  std::string text = number(attention.n_heads) + " query heads × " + number(attention.d_head_k) + ", values × " +
                     number(attention.d_head_v) + ", of a latent of " + number(attention.d_latent);
  if (attention.d_shared_rope > 0) text += " and " + number(attention.d_shared_rope) + " shared";
  return text;
}

std::string attention_text(const AttentionConfig& attention) {
  if (attention.d_latent > 0) return latent_attention_text(attention);
  std::string text = number(attention.n_heads) + " query heads, " + number(attention.n_kv_heads) +
                     (attention.n_kv_heads == 1 ? " key head × " : " key heads × ") + number(attention.d_head_k);
  if (attention.d_head_v != attention.d_head_k) text += ", values × " + number(attention.d_head_v);
  return text;
}

std::string state_text(const MatrixStateConfig& state) {
  const MatrixStateSizes& sizes = state.sizes;
  const std::string what = sizes.d_value == 1 ? " channels" : " heads × " + number(sizes.d_value);
  return "state of " + number(sizes.n_heads) + what + " × " + number(sizes.d_key);
}

std::string fast_text(const FastWeightsConfig& fast) {
  const std::string inner = fast.model == FastModel::kMlp ? " × " + number(fast.d_hidden) + " × " : " × ";
  return "fast weights of " + number(fast.n_heads) + " heads × " + number(fast.d_head) + inner + number(fast.d_head) +
         ", mini-batches of " + number(fast.batch_size) +
         (fast.n_qk_taps > 0 ? ", convolutions of " + number(fast.n_qk_taps) + " taps for queries and for keys" : "");
}

std::string conv_text(const ConvConfig& conv) {
  return std::string(conv.is_gated ? "gated " : "") + "convolution of " + number(conv.n_taps) + " taps over " +
         number(conv.n_channels) + " channels";
}

std::string moe_text(const MoeConfig& moe) {
  return number(moe.router.n_experts) + " experts × " + number(moe.d_expert) + ", " + number(moe.router.n_chosen) +
         " a token" + (moe.d_shared > 0 ? ", and a shared one × " + number(moe.d_shared) : "");
}

// "state of 48 heads × 64 × 128; convolution of 4 taps over 3328 channels; 64 experts × 512, 6 a token"
std::string layer_text(const LayerConfig& layer) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (layer.has(MixerKind::kAttention)) add(attention_text(layer.attention));
  if (layer.has(MixerKind::kMatrixState)) add(state_text(layer.state));
  if (layer.has(MixerKind::kFastWeights)) add(fast_text(layer.fast));
  if (layer.conv.n_taps > 0) add(conv_text(layer.conv));
  if (layer.feed_forward == FeedForwardKind::kMoe) add(moe_text(layer.moe));
  if (layer.feed_forward == FeedForwardKind::kDense) add("feed-forward × " + number(layer.d_ffn));
  if (layer.feed_forward == FeedForwardKind::kChannelMix) add("channel mix × " + number(layer.d_ffn));
  return text;
}

json state_json(const MatrixStateConfig& state) {
  return {{"recurrence", recurrence_name(state.recurrence)},
          {"n_heads", state.sizes.n_heads},
          {"n_groups", state.sizes.n_groups},
          {"d_value", state.sizes.d_value},
          {"d_key", state.sizes.d_key},
          {"n_probe_heads", state.n_stat_heads}};
}

json fast_json(const FastWeightsConfig& fast) {
  return {{"model", fast.model == FastModel::kMlp ? "mlp" : "linear"},
          {"n_heads", fast.n_heads},
          {"d_head", fast.d_head},
          {"d_hidden", fast.d_hidden},
          {"batch_size", fast.batch_size},
          {"n_qk_taps", fast.n_qk_taps}};
}

json layer_json(const ModelConfig& config, int32_t i) {
  const LayerConfig& layer = config.layers[static_cast<size_t>(i)];
  json mixers = json::array();
  for (const MixerKind kind : layer.mixers) mixers.push_back(mixer_name(kind));
  json described{{"layer", i},
                 {"label", layer_label(config, i)},
                 {"summary", layer_text(layer)},
                 {"mixers", mixers},
                 {"feed_forward", feed_forward_name(layer.feed_forward)},
                 {"d_ffn", layer.d_ffn}};
  if (layer.has(MixerKind::kAttention)) {
    described["attention"] = {{"n_heads", layer.attention.n_heads},
                              {"n_kv_heads", layer.attention.n_kv_heads},
                              {"d_head", layer.attention.d_head_k},
                              {"window", layer.attention.window}};
    if (layer.attention.d_latent > 0) {
      described["attention"]["d_latent"] = layer.attention.d_latent;
      described["attention"]["d_shared_rope"] = layer.attention.d_shared_rope;
    }
  }
  if (layer.has(MixerKind::kMatrixState)) described["state"] = state_json(layer.state);
  if (layer.has(MixerKind::kFastWeights)) described["fast_weights"] = fast_json(layer.fast);
  if (layer.conv.n_taps > 0) {
    described["convolution"] = {
        {"n_taps", layer.conv.n_taps}, {"n_channels", layer.conv.n_channels}, {"gated", layer.conv.is_gated}};
  }
  if (layer.feed_forward == FeedForwardKind::kMoe) {
    described["experts"] = {{"n_experts", layer.moe.router.n_experts},
                            {"n_chosen", layer.moe.router.n_chosen},
                            {"d_expert", layer.moe.d_expert},
                            {"d_shared", layer.moe.d_shared}};
  }
  return described;
}

}  // namespace

json describe_layers(const ModelConfig& config) {
  json layers = json::array();
  for (int32_t i = 0; i < config.n_layers(); ++i) layers.push_back(layer_json(config, i));
  return layers;
}

json describe_loop(const LoopConfig& loop) {
  const char* const rules[] = {"fixed", "gate", "step", "kl"};  // in the order of ExitRule
  const std::string rule = rules[static_cast<size_t>(loop.rule)];
  char threshold[32];
  std::snprintf(threshold, sizeof(threshold), "%.6g", static_cast<double>(loop.threshold));
  std::string summary = "layers " + number(loop.begin) + " to " + number(loop.end - 1) + ", up to " +
                        number(loop.n_iterations) + " times";
  if (loop.rule == ExitRule::kGate) summary += ", read where the gate's probabilities sum to " + std::string(threshold);
  if (loop.rule == ExitRule::kStep) summary += ", left once a step is below " + std::string(threshold);
  if (loop.rule == ExitRule::kDivergence) summary += ", left once KL is below " + std::string(threshold);
  return {{"layers", {loop.begin, loop.end}},
          {"iterations", loop.n_iterations},
          {"exit", rule},
          {"threshold", loop.threshold},
          {"cache", loop.cache == LoopCache::kShared ? "shared" : "own"},
          {"summary", summary}};
}

json describe_cache(const ModelConfig& config, DType kv) {
  constexpr int64_t kStateBytes = sizeof(float);
  const int64_t kv_bytes = kv == DType::kF32 ? 4 : 2;
  int64_t per_token = 0;
  int64_t of_windows = 0;
  int64_t state = 0;
  int64_t convolution = 0;
  int64_t fast = 0;
  for (const LayerConfig& layer : config.layers) {
    if (config.loop.cache == LoopCache::kShared && layer.iteration > 0) continue;
    if (layer.has(MixerKind::kAttention)) {
      const AttentionConfig& a = layer.attention;
      const int64_t n_kept =
          a.d_latent > 0 ? int64_t{a.d_latent} + a.d_shared_rope : int64_t{a.n_kv_heads} * (a.d_head_k + a.d_head_v);
      const int64_t bytes = n_kept * kv_bytes;
      per_token += bytes;
      if (a.window > 0) of_windows += bytes;
    }
    if (layer.has(MixerKind::kMatrixState)) {
      const MatrixStateSizes& s = layer.state.sizes;
      state += int64_t{s.n_heads} * s.d_value * s.d_key * kStateBytes;
    }
    if (layer.has(MixerKind::kFastWeights)) {
      const FastWeightsConfig& f = layer.fast;
      const FastWeightsSizes sizes{f.n_heads, f.d_head, f.model == FastModel::kMlp ? f.d_hidden : 0, f.batch_size};
      fast += 2 * f.n_heads * sizes.n_weights() * kStateBytes;  // and the gradients of a mini-batch
      if (f.n_qk_taps > 0) convolution += 2 * int64_t{f.n_qk_taps - 1} * f.n_heads * f.d_head * kStateBytes;
    }
    if (layer.conv.n_taps > 0) convolution += (layer.conv.n_taps - 1) * layer.conv.n_channels * kStateBytes;
    // RWKV's two parts remember the last token each.
    if (layer.feed_forward == FeedForwardKind::kChannelMix) convolution += 2 * config.d_model * kStateBytes;
  }
  return {{"kv", kv == DType::kF32 ? "f32" : "f16"},
          {"bytes_per_token", per_token},
          {"of_windows", of_windows},
          {"constant", {{"recurrent state", state}, {"convolution state", convolution}, {"fast weights", fast}}}};
}

}  // namespace orrery
