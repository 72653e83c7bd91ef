#include "engine/models/rope_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "engine/models/rope_scaling.h"

namespace orrery {

namespace {

constexpr std::string_view kSliding = "sliding_attention";
constexpr TensorName kFactors{"rope_freqs.weight", ""};
constexpr TensorName kShortFactors{"rope_factors_short.weight", ""};
constexpr TensorName kLongFactors{"rope_factors_long.weight", ""};
constexpr int64_t kMostPositions = int64_t{1} << 40;

Error must_be(const ModelFile& file, std::string_view what, std::string_view rule, double value) {
  return {ErrorCode::kInvalidFile, file.path() + ": the rope's " + std::string(what) + " must be " + std::string(rule) +
                                       ", but is " + std::to_string(value)};
}

Error unknown_scaling(const ModelFile& file, const std::string& type) {
  return {ErrorCode::kUnsupported, file.path() + ": this rope scaling is not known: " + type.substr(0, 60)};
}

Result<int64_t> stated_length(const ModelFile& file) {
  return file.integer({"context_length", "max_position_embeddings"}, 0, kMostPositions, 0);
}

// The settings of one rotation in a config.json: in the first of its parents that has them, else at the top.
// Precedence as in transformers' RotaryEmbeddingConfigMixin.
class HuggingFaceRope {
 public:
  HuggingFaceRope(const ModelFile& file, const RopeKind& kind) : file_(file), kind_(kind) {
    const bool is_sliding = kind.layer_type == kSliding;
    if (!is_sliding && file.has({"", "rope_scaling"})) parents_.push_back("rope_scaling.");
    const std::string nested = "rope_parameters." + std::string(kind.layer_type);
    if (!kind.layer_type.empty() && file.has({"", nested})) {
      parents_.push_back(nested + ".");
    } else if (parents_.empty() && !is_sliding) {
      parents_.push_back("rope_parameters.");
    }
  }

  Result<RopeScaling> read(int64_t d_head) const {
    RopeScaling s;
    s.d_head = d_head;
    ORRERY_ASSIGN_OR_RETURN(s.kind, read_kind());
    const std::string_view base_key = kind_.layer_type == kSliding ? "rope_local_base_freq" : "rope_theta";
    ORRERY_ASSIGN_OR_RETURN(s.base, number("rope_theta", kind_.default_base, base_key));
    ORRERY_RETURN_IF_ERROR(read_n_rot(s));
    ORRERY_RETURN_IF_ERROR(read_lengths(s));
    if (s.kind == RopeScalingKind::kYarn) ORRERY_RETURN_IF_ERROR(read_yarn(s));
    if (s.kind == RopeScalingKind::kLlama3) ORRERY_RETURN_IF_ERROR(read_llama3(s));
    if (s.kind == RopeScalingKind::kLongRope) ORRERY_RETURN_IF_ERROR(read_long_rope(s));
    return s;
  }

 private:
  std::string spelled(std::string_view name) const {
    for (const std::string& parent : parents_) {
      const std::string key = parent + std::string(name);
      if (file_.has({"", key})) return key;
    }
    return {};
  }

  Result<double> number(std::string_view name, std::optional<double> fallback, std::string_view at_top = {}) const {
    if (const std::string key = spelled(name); !key.empty()) return file_.number({"", key});
    const std::string missing = (parents_.empty() ? std::string() : parents_.back()) + std::string(name);
    return file_.number({"", at_top.empty() ? std::string_view(missing) : at_top}, fallback);
  }

  Result<RopeScalingKind> read_kind() const {
    std::string type = "default";
    for (const std::string_view name : {"rope_type", "type"}) {
      if (const std::string key = spelled(name); !key.empty()) {
        ORRERY_ASSIGN_OR_RETURN(type, file_.text({"", key}));
        break;
      }
    }
    using Kind = RopeScalingKind;
    static constexpr std::array<std::pair<std::string_view, Kind>, 8> kNames = {
        {{"default", Kind::kNone},
         {"linear", Kind::kLinear},
         {"dynamic", Kind::kDynamicNtk},
         {"yarn", Kind::kYarn},
         {"llama3", Kind::kLlama3},
         {"longrope", Kind::kLongRope},
         {"su", Kind::kLongRope},  // its first name
         {"proportional", Kind::kProportional}}};
    for (const auto& [name, kind] : kNames) {
      if (name == type) return kind;
    }
    return unknown_scaling(file_, type);
  }

  Result<void> read_n_rot(RopeScaling& s) const {
    ORRERY_ASSIGN_OR_RETURN(const double share,
                            number("partial_rotary_factor", kind_.usual_share, "partial_rotary_factor"));
    if (!(share >= 0 && share <= 1)) return must_be(file_, "partial_rotary_factor", "from 0 to 1", share);
    const double turned = static_cast<double>(s.d_head) * share;
    // The proportional scaling counts pairs, the others dimensions.
    s.n_rot =
        s.kind == RopeScalingKind::kProportional ? 2 * static_cast<int64_t>(turned / 2) : static_cast<int64_t>(turned);
    return {};
  }

  Result<void> read_lengths(RopeScaling& s) const {
    ORRERY_ASSIGN_OR_RETURN(const int64_t stated, stated_length(file_));
    s.original_length = stated;
    if (s.kind == RopeScalingKind::kLlama3 || s.kind == RopeScalingKind::kYarn ||
        s.kind == RopeScalingKind::kLongRope) {
      std::string key = "original_max_position_embeddings";  // at the top it comes first
      if (!file_.has({"", key})) key = spelled(key);
      if (!key.empty()) {
        ORRERY_ASSIGN_OR_RETURN(s.original_length, file_.integer({"", key}, 1, kMostPositions));
      }
    }
    if (s.kind == RopeScalingKind::kNone) return {};
    std::optional<double> fallback;
    if (s.kind == RopeScalingKind::kProportional) fallback = 1.0;
    if (s.kind == RopeScalingKind::kYarn || s.kind == RopeScalingKind::kLongRope) {
      fallback = static_cast<double>(stated) / static_cast<double>(std::max<int64_t>(s.original_length, 1));
    }
    ORRERY_ASSIGN_OR_RETURN(s.factor, number("factor", fallback));
    ORRERY_ASSIGN_OR_RETURN(s.mscale_all_dim, number("mscale_all_dim", 0.0));
    return {};
  }

  Result<void> read_llama3(RopeScaling& s) const {
    ORRERY_ASSIGN_OR_RETURN(s.low_frequency_factor, number("low_freq_factor", {}));
    ORRERY_ASSIGN_OR_RETURN(s.high_frequency_factor, number("high_freq_factor", {}));
    return {};
  }

  Result<void> read_yarn(RopeScaling& s) const {
    ORRERY_RETURN_IF_ERROR(read_magnitude(s));
    ORRERY_ASSIGN_OR_RETURN(s.mscale, number("mscale", 0.0));
    ORRERY_ASSIGN_OR_RETURN(s.beta_fast, number("beta_fast", 32.0));
    ORRERY_ASSIGN_OR_RETURN(s.beta_slow, number("beta_slow", 1.0));
    if (const std::string key = spelled("truncate"); !key.empty()) {
      ORRERY_ASSIGN_OR_RETURN(s.whole_bounds, file_.boolean({"", key}));
    }
    return {};
  }

  Result<void> read_long_rope(RopeScaling& s) const {
    ORRERY_RETURN_IF_ERROR(read_magnitude(s));
    for (const auto& [name, factors] :
         {std::pair{"short_factor", &s.short_factors}, {"long_factor", &s.long_factors}}) {
      std::string key = spelled(name);
      if (key.empty()) key = name;  // the sentence then says that it is missing
      ORRERY_ASSIGN_OR_RETURN(*factors, file_.numbers({"", key}, s.n_rot / 2));
    }
    return {};
  }

  Result<void> read_magnitude(RopeScaling& s) const {
    if (const std::string key = spelled("attention_factor"); !key.empty()) {
      ORRERY_ASSIGN_OR_RETURN(s.magnitude, file_.number({"", key}));
    }
    return {};
  }

  const ModelFile& file_;
  const RopeKind& kind_;
  std::vector<std::string> parents_;
};

Result<std::vector<double>> read_factors(const ModelFile& file, TensorName name, int64_t n) {
  ORRERY_ASSIGN_OR_RETURN(const TensorView view, file.tensor(name, -1, {n}));
  if (view.dtype != DType::kF32) {
    return Error{ErrorCode::kUnsupported, file.path() + ": " + std::string(name.gguf) + " must be F32, but is " +
                                              std::string(dtype_name(view.dtype))};
  }
  return std::vector<double>(view.f32(), view.f32() + n);
}

Result<RopeScaling> read_gguf(const ModelFile& file, int64_t d_head, const RopeKind& kind) {
  RopeScaling s;
  s.d_head = d_head;
  ORRERY_ASSIGN_OR_RETURN(s.n_rot, file.integer({"rope.dimension_count", ""}, 0, d_head, d_head));
  if (kind.layer_type == kSliding) {  // never scaled
    ORRERY_ASSIGN_OR_RETURN(s.base, file.number({"rope.freq_base_swa", ""}, kind.default_base));
    return s;
  }
  ORRERY_ASSIGN_OR_RETURN(s.base, file.number({"rope.freq_base", ""}, kind.default_base));
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated, stated_length(file));
  ORRERY_ASSIGN_OR_RETURN(s.original_length, file.integer({"rope.scaling.original_context_length", ""}, 1,
                                                          kMostPositions, std::max<int64_t>(stated, 1)));
  ORRERY_ASSIGN_OR_RETURN(const double old_factor, file.number({"rope.scale_linear", ""}, 1.0));
  ORRERY_ASSIGN_OR_RETURN(s.factor, file.number({"rope.scaling.factor", ""}, old_factor));
  if (s.factor == 0.0) s.factor = 1.0;  // as llama.cpp: not scaled
  ORRERY_ASSIGN_OR_RETURN(const std::string type, file.text({"rope.scaling.type", ""}, "linear"));
  const bool has_factors = file.find(kLongFactors) != nullptr && file.find(kShortFactors) != nullptr;
  if (has_factors) {
    s.kind = RopeScalingKind::kLongRope;
    ORRERY_ASSIGN_OR_RETURN(s.short_factors, read_factors(file, kShortFactors, s.n_rot / 2));
    ORRERY_ASSIGN_OR_RETURN(s.long_factors, read_factors(file, kLongFactors, s.n_rot / 2));
    ORRERY_ASSIGN_OR_RETURN(s.magnitude, file.number({"rope.scaling.attn_factor", ""}, 1.0));
    s.factor = std::max(1.0, static_cast<double>(stated) / static_cast<double>(s.original_length));
  } else if (type == "yarn") {
    s.kind = RopeScalingKind::kYarn;
    s.whole_bounds = kind.whole_bounds;
    ORRERY_ASSIGN_OR_RETURN(s.beta_fast, file.number({"rope.scaling.yarn_beta_fast", ""}, 32.0));
    ORRERY_ASSIGN_OR_RETURN(s.beta_slow, file.number({"rope.scaling.yarn_beta_slow", ""}, 1.0));
    ORRERY_ASSIGN_OR_RETURN(const double times, file.number({"rope.scaling.attn_factor", ""}, 1.0));
    ORRERY_ASSIGN_OR_RETURN(const double more, file.number({"rope.scaling.yarn_attn_factor", ""}, 1.0));
    s.magnitude = times * more * (s.factor > 1.0 ? 0.1 * std::log(s.factor) + 1.0 : 1.0);
    if (kind.scales_scores) {
      ORRERY_ASSIGN_OR_RETURN(const double of_log, file.number({"rope.scaling.yarn_log_multiplier", ""}, 0.0));
      s.mscale_all_dim = of_log / 0.1;
      if (of_log != 0.0) s.magnitude = times * more;
    }
  } else if (type == "linear") {
    if (s.factor != 1.0) s.kind = RopeScalingKind::kLinear;
  } else if (type != "none" && type != "longrope") {
    return unknown_scaling(file, type);
  }
  return s;
}

Result<void> check(const ModelFile& file, const RopeScaling& s) {
  if (!(s.base > 0)) return must_be(file, "base", "positive", s.base);
  if (s.n_rot % 2 != 0) return must_be(file, "number of turned dimensions", "even", static_cast<double>(s.n_rot));
  if (!(s.factor > 0)) return must_be(file, "factor", "positive", s.factor);
  const bool needs_length = s.kind != RopeScalingKind::kNone && s.kind != RopeScalingKind::kLinear &&
                            s.kind != RopeScalingKind::kProportional;
  if (needs_length && s.original_length < 1) return must_be(file, "original length", "stated", 0.0);
  if (s.kind == RopeScalingKind::kProportional && s.d_head % 2 != 0) {
    return must_be(file, "head width", "even", static_cast<double>(s.d_head));
  }
  if (s.kind == RopeScalingKind::kDynamicNtk && s.n_rot <= 2) {
    return must_be(file, "number of turned dimensions", "above 2 for the dynamic scaling",
                   static_cast<double>(s.n_rot));
  }
  if (s.kind == RopeScalingKind::kDynamicNtk && s.factor < 1) {
    return must_be(file, "factor", "at least 1 for the dynamic scaling", s.factor);
  }
  if (s.kind == RopeScalingKind::kYarn && (!(s.base > 1) || !(s.beta_fast > 0) || !(s.beta_slow > 0))) {
    return must_be(file, "base, beta_fast and beta_slow", "above 1, 0 and 0 for YaRN", s.base);
  }
  if (s.kind == RopeScalingKind::kLlama3 &&
      !(s.low_frequency_factor > 0 && s.high_frequency_factor > s.low_frequency_factor)) {
    return must_be(file, "high_freq_factor", "above a positive low_freq_factor", s.high_frequency_factor);
  }
  if (s.kind == RopeScalingKind::kLongRope && s.original_length < 2) {
    return must_be(file, "original length", "at least 2 for LongRoPE", static_cast<double>(s.original_length));
  }
  for (const std::vector<double>* factors : {&s.short_factors, &s.long_factors}) {
    for (const double factor : *factors) {
      if (!(factor > 0)) return must_be(file, "factors", "positive", factor);
    }
  }
  return {};
}

Result<RopeScaling> read_scaling(const ModelFile& file, int64_t d_head, const RopeKind& kind) {
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  ORRERY_ASSIGN_OR_RETURN(const RopeScaling s,
                          is_gguf ? read_gguf(file, d_head, kind) : HuggingFaceRope(file, kind).read(d_head));
  ORRERY_RETURN_IF_ERROR(check(file, s));
  return s;
}

// GGUF's way to write Llama 3's scaling: a divisor for every frequency. Gemma's windowed layers do not use it.
Result<void> divide_by_rope_freqs(const ModelFile& file, RopeConfig& rope) {
  if (file.find(kFactors) == nullptr) return {};
  const auto n = static_cast<int64_t>(rope.inverse_frequencies.size());
  ORRERY_ASSIGN_OR_RETURN(const std::vector<double> factors, read_factors(file, kFactors, n));
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0)) return must_be(file, "rope_freqs", "positive", factors[i]);
    rope.inverse_frequencies[i] = static_cast<float>(rope.inverse_frequencies[i] / factors[i]);
  }
  return {};
}

}  // namespace

Result<void> read_rope(const ModelFile& file, int64_t d_head, const RopeKind& kind, RopeConfig& rope) {
  ORRERY_ASSIGN_OR_RETURN(const RopeScaling scaling, read_scaling(file, d_head, kind));
  fill_rope(scaling, rope);
  if (file.format() == ModelFile::Format::kGguf && kind.layer_type != kSliding) {
    return divide_by_rope_freqs(file, rope);
  }
  return {};
}

Result<double> read_score_magnitude(const ModelFile& file, int64_t d_head, const RopeKind& kind) {
  ORRERY_ASSIGN_OR_RETURN(const RopeScaling s, read_scaling(file, d_head, kind));
  if (!kind.scales_scores || s.kind == RopeScalingKind::kNone || s.factor <= 1.0) return 1.0;
  const double magnitude = 0.1 * s.mscale_all_dim * std::log(s.factor) + 1.0;
  return magnitude * magnitude;
}

Result<int64_t> read_context_length(const ModelFile& file, int64_t d_head, const RopeKind& kind) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated, stated_length(file));
  if (stated == 0) return stated;
  ORRERY_ASSIGN_OR_RETURN(const RopeScaling scaling, read_scaling(file, d_head, kind));
  return stretched_length(scaling, stated);
}

}  // namespace orrery
