#include "sessions/model_json.h"

#include <algorithm>
#include <utility>

#include "sessions/json_fields.h"

namespace orrery {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Beyond anything that exists, and small enough that products of a few of them stay in 63 bits.
constexpr int64_t kMaxLayers = 4096;
constexpr int32_t kMaxHeads = 1 << 16;
constexpr int32_t kMaxStateHeads = 1 << 20;
constexpr int32_t kMaxTaps = 1 << 12;
constexpr int32_t kMaxExperts = 1 << 14;
constexpr int64_t kMaxSize = int64_t{1} << 31;
constexpr int64_t kMaxPositions = int64_t{1} << 40;  // what a model may state
constexpr size_t kMaxFrequencies = 1 << 14;

template <typename Kind>
using Names = std::vector<std::pair<Kind, std::string_view>>;

const Names<MixerKind> kMixers{{MixerKind::kAttention, "attention"},
                               {MixerKind::kShortConv, "short convolution"},
                               {MixerKind::kMatrixState, "matrix state"},
                               {MixerKind::kFastWeights, "fast weights"}};
const Names<FeedForwardKind> kFeedForwards{{FeedForwardKind::kNone, "none"},
                                           {FeedForwardKind::kDense, "dense"},
                                           {FeedForwardKind::kMoe, "moe"},
                                           {FeedForwardKind::kChannelMix, "channel mix"}};
const Names<FastModel> kFastModels{{FastModel::kLinear, "linear"}, {FastModel::kMlp, "mlp"}};
const Names<Activation> kActivations{{Activation::kSilu, "silu"},       {Activation::kGeluTanh, "gelu tanh"},
                                     {Activation::kGelu, "gelu"},       {Activation::kReluSquared, "relu squared"},
                                     {Activation::kSigmoid, "sigmoid"}, {Activation::kIdentity, "identity"}};
const Names<AttentionNormaliser> kNormalisers{{AttentionNormaliser::kSoftmax, "softmax"},
                                              {AttentionNormaliser::kSigmoid, "sigmoid"}};
const Names<AttentionGate> kGates{
    {AttentionGate::kNone, "none"}, {AttentionGate::kElement, "element"}, {AttentionGate::kHead, "head"}};
const Names<Recurrence> kRecurrences{{Recurrence::kMamba1, "mamba"},
                                     {Recurrence::kMamba2, "mamba 2"},
                                     {Recurrence::kGatedDelta, "gated delta"},
                                     {Recurrence::kRetention, "retention"},
                                     {Recurrence::kLightning, "lightning attention"},
                                     {Recurrence::kKimiDelta, "kimi delta"},
                                     {Recurrence::kRwkv7, "rwkv 7"},
                                     {Recurrence::kRgLru, "rg-lru"}};
const Names<RouterScore> kScores{{RouterScore::kSoftmax, "softmax"},
                                 {RouterScore::kSigmoid, "sigmoid"},
                                 {RouterScore::kSoftmaxOfChosen, "softmax of chosen"}};
const Names<RopePairing> kPairings{{RopePairing::kHalfSplit, "half split"}, {RopePairing::kAdjacent, "adjacent"}};

template <typename Kind>
std::string name_of(const Names<Kind>& names, Kind kind) {
  for (const auto& [value, name] : names) {
    if (value == kind) return std::string(name);
  }
  return {};
}

template <typename Kind>
bool parse_name(const Names<Kind>& names, const Json& json, Kind& kind) {
  if (!json.is_string()) return false;
  const auto& text = json.get_ref<const std::string&>();
  for (const auto& [value, name] : names) {
    if (name == text) {
      kind = value;
      return true;
    }
  }
  return false;
}

// A member that is one of `names`; absent, it keeps its value.
template <typename Kind>
void read_name(JsonFields& fields, const char* member, const Names<Kind>& names, Kind& kind) {
  if (const Json* json = fields.find(member); json != nullptr && !parse_name(names, *json, kind)) {
    fields.complain(member);
  }
}

// The distinct ropes of the layers that have attention, in the order in which they appear.
std::vector<const RopeConfig*> distinct_ropes(const ModelConfig& config) {
  std::vector<const RopeConfig*> ropes;
  for (const LayerConfig& layer : config.layers) {
    if (!layer.has(MixerKind::kAttention)) continue;
    const RopeConfig& rope = layer.attention.rope;
    if (std::ranges::none_of(ropes, [&](const RopeConfig* seen) { return *seen == rope; })) {
      ropes.push_back(&rope);
    }
  }
  return ropes;
}

Error wrong_ropes() { return {ErrorCode::kInvalidFile, "model.config has \"ropes\" that cannot be right"}; }

Result<std::vector<float>> read_frequencies(const Json& all) {
  std::vector<float> frequencies;
  if (!all.is_array() || all.size() > kMaxFrequencies) return wrong_ropes();
  for (const Json& one : all) {
    if (!one.is_number()) return wrong_ropes();
    frequencies.push_back(one.get<float>());
  }
  return frequencies;
}

// What changes with the length; absent where nothing does.
Result<RopeBeyond> read_beyond(const Json& json) {
  RopeBeyond beyond;
  JsonFields fields(json, "model.config, a rope beyond its length,");
  fields.read("length", beyond.length, int64_t{0}, kMaxPositions);
  fields.read("base", beyond.base);
  fields.read("factor", beyond.factor);
  if (const Json* all = fields.find("inverse_frequencies"); all != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(beyond.frequencies, read_frequencies(*all));
  }
  ORRERY_RETURN_IF_ERROR(fields.done());
  return beyond;
}

Result<std::vector<RopeConfig>> read_ropes(const Json& config) {
  std::vector<RopeConfig> ropes;
  const auto member = config.find("ropes");
  if (member == config.end()) return ropes;
  if (!member->is_array() || member->size() > static_cast<size_t>(kMaxLayers)) return wrong_ropes();
  for (const Json& item : *member) {
    RopeConfig rope;
    JsonFields fields(item, "model.config, a rope,");
    fields.read("magnitude", rope.magnitude);
    read_name(fields, "pairing", kPairings, rope.pairing);
    if (const Json* all = fields.find("inverse_frequencies"); all != nullptr) {
      ORRERY_ASSIGN_OR_RETURN(rope.inverse_frequencies, read_frequencies(*all));
    }
    if (const Json* beyond = fields.find("beyond"); beyond != nullptr) {
      ORRERY_ASSIGN_OR_RETURN(rope.beyond, read_beyond(*beyond));
    }
    ORRERY_RETURN_IF_ERROR(fields.done());
    ropes.push_back(std::move(rope));
  }
  return ropes;
}

Result<AttentionConfig> read_attention(const Json& json, const std::vector<RopeConfig>& ropes) {
  AttentionConfig attention;
  JsonFields fields(json, "model.layers, an attention,");
  fields.read("n_heads", attention.n_heads, 0, kMaxHeads);
  fields.read("n_kv_heads", attention.n_kv_heads, 0, kMaxHeads);
  fields.read("d_head_k", attention.d_head_k, 0, kMaxHeads);
  fields.read("d_head_v", attention.d_head_v, 0, kMaxHeads);
  fields.read("scale", attention.scale);
  read_name(fields, "normaliser", kNormalisers, attention.normaliser);
  fields.read("score_cap", attention.score_cap);
  fields.read("qk_norm", attention.qk_norm);
  fields.read("whole_qk_norm", attention.whole_qk_norm);
  fields.read("clip", attention.clip);
  fields.read("has_sinks", attention.has_sinks);
  read_name(fields, "gate", kGates, attention.gate);
  fields.read("window", attention.window, int64_t{0}, kMaxSize);
  fields.read("d_latent", attention.d_latent, 0, kMaxHeads);
  fields.read("d_shared_rope", attention.d_shared_rope, 0, kMaxHeads);
  fields.read("d_query_latent", attention.d_query_latent, 0, kMaxHeads);
  int64_t rope = -1;
  fields.read("rope", rope, int64_t{0}, static_cast<int64_t>(ropes.size()) - 1);
  ORRERY_RETURN_IF_ERROR(fields.done());
  if (rope >= 0) attention.rope = ropes[static_cast<size_t>(rope)];
  return attention;
}

Result<ConvConfig> read_conv(const Json& json) {
  ConvConfig conv;
  JsonFields fields(json, "model.layers, a convolution,");
  fields.read("n_taps", conv.n_taps, 0, kMaxTaps);
  fields.read("n_channels", conv.n_channels, int64_t{0}, kMaxSize);
  fields.read("is_gated", conv.is_gated);
  ORRERY_RETURN_IF_ERROR(fields.done());
  return conv;
}

Result<MatrixStateConfig> read_state(const Json& json) {
  MatrixStateConfig state;
  JsonFields fields(json, "model.layers, a state,");
  read_name(fields, "recurrence", kRecurrences, state.recurrence);
  // Mamba-1 has a head per channel.
  fields.read("n_heads", state.sizes.n_heads, 0, kMaxStateHeads);
  fields.read("n_groups", state.sizes.n_groups, 0, kMaxStateHeads);
  fields.read("d_key", state.sizes.d_key, 0, kMaxHeads);
  fields.read("d_value", state.sizes.d_value, 0, kMaxHeads);
  fields.read("n_stat_heads", state.n_stat_heads, 0, std::min(kMaxHeads, state.sizes.n_heads));
  ORRERY_RETURN_IF_ERROR(fields.done());
  return state;
}

Result<FastWeightsConfig> read_fast(const Json& json) {
  FastWeightsConfig fast;
  JsonFields fields(json, "model.layers, fast weights,");
  read_name(fields, "model", kFastModels, fast.model);
  fields.read("n_heads", fast.n_heads, 0, kMaxHeads);
  fields.read("d_head", fast.d_head, 0, kMaxHeads);
  fields.read("d_hidden", fast.d_hidden, 0, kMaxHeads);
  fields.read("batch_size", fast.batch_size, 0, kMaxHeads);
  fields.read("n_qk_taps", fast.n_qk_taps, 0, kMaxHeads);
  ORRERY_RETURN_IF_ERROR(fields.done());
  return fast;
}

Result<MoeConfig> read_moe(const Json& json) {
  MoeConfig moe;
  RouterConfig& router = moe.router;
  JsonFields fields(json, "model.layers, a mixture of experts,");
  fields.read("n_experts", router.n_experts, 0, kMaxExperts);
  fields.read("n_chosen", router.n_chosen, 0, router.n_experts);
  read_name(fields, "score", kScores, router.score);
  fields.read("renormalise", router.renormalise);
  fields.read("renormalise_epsilon", router.renormalise_epsilon);
  fields.read("scale", router.scale);
  fields.read("n_groups", router.n_groups, 0, kMaxExperts);
  fields.read("n_kept_groups", router.n_kept_groups, 0, kMaxExperts);
  fields.read("group_by_sum_of_two", router.group_by_sum_of_two);
  fields.read("d_expert", moe.d_expert, int64_t{0}, kMaxSize);
  fields.read("gate_limit", moe.clipped.limit);
  fields.read("gate_slope", moe.clipped.slope);
  fields.read("d_shared", moe.d_shared, int64_t{0}, kMaxSize);
  ORRERY_RETURN_IF_ERROR(fields.done());
  return moe;
}

Result<LayerConfig> read_layer(const Json& json, const std::vector<RopeConfig>& ropes, std::string& label) {
  LayerConfig layer;
  JsonFields fields(json, "model.layers");
  if (!json.is_object()) fields.complain("layer");
  fields.read("label", label);
  fields.read("d_ffn", layer.d_ffn, int64_t{0}, kMaxSize);
  read_name(fields, "feed_forward", kFeedForwards, layer.feed_forward);
  read_name(fields, "activation", kActivations, layer.activation);
  if (const Json* mixers = fields.find("mixers"); mixers != nullptr) {
    if (!mixers->is_array() || mixers->size() > 8) {
      fields.complain("mixers");
    } else {
      for (const Json& one : *mixers) {
        MixerKind mixer{};
        if (!parse_name(kMixers, one, mixer)) fields.complain("mixers");
        layer.mixers.push_back(mixer);
      }
    }
  }
  ORRERY_RETURN_IF_ERROR(fields.done());
  if (const Json* attention = fields.find("attention"); attention != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(layer.attention, read_attention(*attention, ropes));
  }
  if (const Json* conv = fields.find("conv"); conv != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(layer.conv, read_conv(*conv));
  }
  if (const Json* state = fields.find("state"); state != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(layer.state, read_state(*state));
  }
  if (const Json* fast = fields.find("fast"); fast != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(layer.fast, read_fast(*fast));
  }
  if (const Json* moe = fields.find("moe"); moe != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(layer.moe, read_moe(*moe));
  }
  return layer;
}

OrderedJson conv_json(const ConvConfig& conv) {
  return {{"n_taps", conv.n_taps}, {"n_channels", conv.n_channels}, {"is_gated", conv.is_gated}};
}

OrderedJson state_json(const MatrixStateConfig& state) {
  return {{"recurrence", name_of(kRecurrences, state.recurrence)},
          {"n_heads", state.sizes.n_heads},
          {"n_groups", state.sizes.n_groups},
          {"d_key", state.sizes.d_key},
          {"d_value", state.sizes.d_value},
          {"n_stat_heads", state.n_stat_heads}};
}

OrderedJson fast_json(const FastWeightsConfig& fast) {
  return {{"model", name_of(kFastModels, fast.model)},
          {"n_heads", fast.n_heads},
          {"d_head", fast.d_head},
          {"d_hidden", fast.d_hidden},
          {"batch_size", fast.batch_size},
          {"n_qk_taps", fast.n_qk_taps}};
}

OrderedJson moe_json(const MoeConfig& moe) {
  const RouterConfig& router = moe.router;
  return {{"n_experts", router.n_experts},
          {"n_chosen", router.n_chosen},
          {"score", name_of(kScores, router.score)},
          {"renormalise", router.renormalise},
          {"renormalise_epsilon", router.renormalise_epsilon},
          {"scale", router.scale},
          {"n_groups", router.n_groups},
          {"n_kept_groups", router.n_kept_groups},
          {"group_by_sum_of_two", router.group_by_sum_of_two},
          {"d_expert", moe.d_expert},
          {"gate_limit", moe.clipped.limit},
          {"gate_slope", moe.clipped.slope},
          {"d_shared", moe.d_shared}};
}

}  // namespace

std::string config_to_json(const ModelConfig& config) {
  OrderedJson json{{"architecture", config.architecture},
                   {"d_model", config.d_model},
                   {"vocab_size", config.vocab_size},
                   {"context_length", config.context_length},
                   {"norm_epsilon", config.norm_epsilon},
                   {"tied_embedding", config.tied_embedding},
                   {"embedding_scale", config.embedding_scale},
                   {"logit_scale", config.logit_scale},
                   {"logit_cap", config.logit_cap},
                   {"n_layers", config.n_layers()},
                   {"ropes", OrderedJson::array()}};
  for (const RopeConfig* rope : distinct_ropes(config)) {
    OrderedJson one{{"pairing", name_of(kPairings, rope->pairing)},
                    {"magnitude", rope->magnitude},
                    {"inverse_frequencies", rope->inverse_frequencies}};
    if (const RopeBeyond& beyond = rope->beyond; beyond.length > 0) {
      one["beyond"] = {{"length", beyond.length},
                       {"base", beyond.base},
                       {"factor", beyond.factor},
                       {"inverse_frequencies", beyond.frequencies}};
    }
    json["ropes"].push_back(std::move(one));
  }
  return json_text(json);
}

std::string layers_to_json(const ModelConfig& config, const std::vector<std::string>& layer_labels) {
  const std::vector<const RopeConfig*> ropes = distinct_ropes(config);
  OrderedJson json = OrderedJson::array();
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const LayerConfig& layer = config.layers[i];
    OrderedJson mixers = OrderedJson::array();
    for (const MixerKind mixer : layer.mixers) mixers.push_back(name_of(kMixers, mixer));
    OrderedJson item{{"label", i < layer_labels.size() ? layer_labels[i] : std::to_string(i)},
                     {"mixers", std::move(mixers)},
                     {"feed_forward", name_of(kFeedForwards, layer.feed_forward)},
                     {"d_ffn", layer.d_ffn},
                     {"activation", name_of(kActivations, layer.activation)}};
    if (layer.has(MixerKind::kAttention)) {
      const AttentionConfig& a = layer.attention;
      const auto rope = std::ranges::find_if(ropes, [&](const RopeConfig* seen) { return *seen == a.rope; });
      item["attention"] = {{"n_heads", a.n_heads},
                           {"n_kv_heads", a.n_kv_heads},
                           {"d_head_k", a.d_head_k},
                           {"d_head_v", a.d_head_v},
                           {"scale", a.scale},
                           {"normaliser", name_of(kNormalisers, a.normaliser)},
                           {"score_cap", a.score_cap},
                           {"qk_norm", a.qk_norm},
                           {"whole_qk_norm", a.whole_qk_norm},
                           {"clip", a.clip},
                           {"has_sinks", a.has_sinks},
                           {"gate", name_of(kGates, a.gate)},
                           {"window", a.window},
                           {"rope", rope - ropes.begin()}};
      if (a.d_latent > 0) {
        item["attention"]["d_latent"] = a.d_latent;
        item["attention"]["d_shared_rope"] = a.d_shared_rope;
        item["attention"]["d_query_latent"] = a.d_query_latent;
      }
    }
    if (layer.conv.n_taps > 0) item["conv"] = conv_json(layer.conv);
    if (layer.has(MixerKind::kMatrixState)) item["state"] = state_json(layer.state);
    if (layer.has(MixerKind::kFastWeights)) item["fast"] = fast_json(layer.fast);
    if (layer.feed_forward == FeedForwardKind::kMoe) item["moe"] = moe_json(layer.moe);
    json.push_back(std::move(item));
  }
  return json_text(json);
}

Result<ModelDescription> model_from_json(std::string_view config_text, std::string_view layers_text) {
  ORRERY_ASSIGN_OR_RETURN(const Json config, parse_json(config_text, "model.config", Json::value_t::object));
  ORRERY_ASSIGN_OR_RETURN(const Json layers, parse_json(layers_text, "model.layers", Json::value_t::array));
  if (layers.size() > static_cast<size_t>(kMaxLayers)) {
    return Error{ErrorCode::kInvalidFile, "model.layers has too many layers: " + std::to_string(layers.size())};
  }
  ModelDescription model;
  JsonFields fields(config, "model.config");
  fields.read("architecture", model.config.architecture);
  fields.read("d_model", model.config.d_model, int64_t{0}, kMaxSize);
  fields.read("vocab_size", model.config.vocab_size, int64_t{0}, kMaxSize);
  fields.read("context_length", model.config.context_length, int64_t{0}, kMaxPositions);
  fields.read("norm_epsilon", model.config.norm_epsilon);
  fields.read("tied_embedding", model.config.tied_embedding);
  fields.read("embedding_scale", model.config.embedding_scale);
  fields.read("logit_scale", model.config.logit_scale);
  fields.read("logit_cap", model.config.logit_cap);
  ORRERY_RETURN_IF_ERROR(fields.done());
  ORRERY_ASSIGN_OR_RETURN(const std::vector<RopeConfig> ropes, read_ropes(config));
  for (const Json& layer : layers) {
    std::string label = std::to_string(model.config.layers.size());
    ORRERY_ASSIGN_OR_RETURN(LayerConfig read, read_layer(layer, ropes, label));
    model.config.layers.push_back(std::move(read));
    model.layer_labels.push_back(std::move(label));
  }
  return model;
}

}  // namespace orrery
