#include "engine/models/rope_scaling.h"

#include <cmath>
#include <numbers>

namespace orrery {

namespace {

constexpr TensorName kFactors{"rope_freqs.weight", ""};

// The key under the new spelling (rope_parameters) where it is there, else the old one.
Result<double> rope_number(const ModelFile& file, std::string_view name, std::optional<double> fallback) {
  for (const std::string_view parent : {"rope_parameters.", "rope_scaling."}) {
    const std::string key = std::string(parent) + std::string(name);
    if (file.has({"", key})) return file.number({"", key});
  }
  return file.number({"", name}, fallback);
}

// Llama 3.1's scaling: low frequencies are divided by the factor, high ones kept, those between blended.
// Reference: transformers modeling_rope_utils _compute_llama3_parameters.
Result<void> scale_llama3(const ModelFile& file, std::vector<float>& frequencies) {
  ORRERY_ASSIGN_OR_RETURN(const double factor, rope_number(file, "factor", {}));
  ORRERY_ASSIGN_OR_RETURN(const double low, rope_number(file, "low_freq_factor", {}));
  ORRERY_ASSIGN_OR_RETURN(const double high, rope_number(file, "high_freq_factor", {}));
  ORRERY_ASSIGN_OR_RETURN(const double original, rope_number(file, "original_max_position_embeddings", {}));
  if (!(factor > 0 && low > 0 && high > low && original > 0)) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": the llama3 rope scaling needs factor > 0, " +
                                              "high_freq_factor > low_freq_factor > 0 and a positive " +
                                              "original_max_position_embeddings, but factor is " +
                                              std::to_string(factor)};
  }
  for (float& frequency : frequencies) {
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength < original / high) continue;
    double blend = 0.0;  // share of the unscaled frequency
    if (wavelength <= original / low) blend = (original / wavelength - low) / (high - low);
    frequency = static_cast<float>((1.0 - blend) * frequency / factor + blend * frequency);
  }
  return {};
}

Result<void> divide_all(const ModelFile& file, double factor, std::vector<float>& frequencies) {
  if (!(factor > 0)) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": the factor of the rope scaling must be positive, but is " + std::to_string(factor)};
  }
  for (float& frequency : frequencies) frequency = static_cast<float>(frequency / factor);
  return {};
}

Error unknown_scaling(const ModelFile& file, const std::string& type) {
  return {ErrorCode::kUnsupported, file.path() + ": this rope scaling cannot be computed yet: " + type.substr(0, 60)};
}

Result<void> scale_hugging_face(const ModelFile& file, std::vector<float>& frequencies) {
  std::string type = "default";
  for (const std::string_view key : {"rope_scaling.type", "rope_scaling.rope_type", "rope_parameters.rope_type"}) {
    ORRERY_ASSIGN_OR_RETURN(type, file.text({"", key}, type));
  }
  if (type == "default") return {};
  if (type == "llama3") return scale_llama3(file, frequencies);
  if (type != "linear") return unknown_scaling(file, type);
  ORRERY_ASSIGN_OR_RETURN(const double factor, rope_number(file, "factor", {}));
  return divide_all(file, factor, frequencies);
}

Result<void> scale_gguf(const ModelFile& file, std::vector<float>& frequencies) {
  ORRERY_ASSIGN_OR_RETURN(const std::string type, file.text({"rope.scaling.type", ""}, "none"));
  if (type == "linear") {
    ORRERY_ASSIGN_OR_RETURN(const double factor, file.number({"rope.scaling.factor", ""}, 1.0));
    ORRERY_RETURN_IF_ERROR(divide_all(file, factor, frequencies));
  } else if (type != "none") {
    return unknown_scaling(file, type);
  }
  ORRERY_ASSIGN_OR_RETURN(const TensorView factors,
                          file.optional_tensor(kFactors, -1, {static_cast<int64_t>(frequencies.size())}));
  if (factors.empty()) return {};
  if (factors.dtype != DType::kF32) return unknown_scaling(file, "rope_freqs that are not F32");
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float factor = factors.f32()[i];
    if (!(factor > 0))
      return Error{ErrorCode::kInvalidFile,
                   file.path() + ": rope_freqs must be positive, but one is " + std::to_string(factor)};
    frequencies[i] /= factor;
  }
  return {};
}

}  // namespace

Result<void> read_rope(const ModelFile& file, int64_t d_head, RopeConfig& rope) {
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  ORRERY_ASSIGN_OR_RETURN(const double base, is_gguf ? file.number({"rope.freq_base", ""}, 10000.0)
                                                     : rope_number(file, "rope_theta", 10000.0));
  if (!(base > 0)) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": the rope base must be positive, but is " + std::to_string(base)};
  }
  int64_t n_rot = d_head;
  if (is_gguf) {
    ORRERY_ASSIGN_OR_RETURN(n_rot, file.integer({"rope.dimension_count", ""}, 0, d_head, d_head));
  } else {
    ORRERY_ASSIGN_OR_RETURN(const double share, rope_number(file, "partial_rotary_factor", 1.0));
    if (!(share >= 0 && share <= 1)) {
      return Error{ErrorCode::kInvalidFile,
                   file.path() + ": partial_rotary_factor must be from 0 to 1, but is " + std::to_string(share)};
    }
    n_rot = static_cast<int64_t>(static_cast<double>(d_head) * share);
  }
  if (n_rot % 2 != 0) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": the number of rotated dimensions must be even, but is " + std::to_string(n_rot)};
  }
  rope.inverse_frequencies.clear();
  for (int64_t i = 0; i < n_rot; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(n_rot);
    rope.inverse_frequencies.push_back(static_cast<float>(1.0 / std::pow(base, exponent)));
  }
  return is_gguf ? scale_gguf(file, rope.inverse_frequencies) : scale_hugging_face(file, rope.inverse_frequencies);
}

}  // namespace orrery
