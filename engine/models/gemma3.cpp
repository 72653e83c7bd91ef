#include "engine/models/gemma3.h"

#include "engine/models/gemma.h"

namespace orrery {

namespace {

// Every sliding_window_pattern-th layer is full; GGUF files of today state a window only, and without one have none.
Result<void> read_windows(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kUsualWindow = 4096;  // of transformers' Gemma3TextConfig
  constexpr int64_t kUsualPattern = 6;
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  const ConfigKey pattern_key{"attention.sliding_window_pattern", "sliding_window_pattern"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, is_gguf ? 0 : kUsualWindow));
  if (is_gguf && window == 0) return {};
  int64_t pattern = kUsualPattern;
  if (!file.is_list(pattern_key)) {
    ORRERY_ASSIGN_OR_RETURN(pattern, file.integer(pattern_key, 1, 1 << 20, kUsualPattern));
  }
  return set_windows(
      file, window, [&](int32_t layer) { return (layer + 1) % pattern != 0; }, config);
}

}  // namespace

Result<ModelConfig> read_gemma3_config(const ModelFile& file) {
  constexpr DecoderTraits kGemma3{.qk_norm = true,
                                  .tied_embedding = true,
                                  .activation_key = "hidden_activation",
                                  .activation = Activation::kGeluTanh};
  constexpr RopeKind kFullRope{.layer_type = "full_attention", .default_base = 1e6};
  constexpr RopeKind kWindowedRope{.layer_type = "sliding_attention", .default_base = 1e4};
  constexpr int32_t kLayersOf27B = 62;
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "use_bidirectional_attention"}));
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, kScoreCap));  // the reference reads it and makes no use of it
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, kGemma3));
  ORRERY_RETURN_IF_ERROR(read_windows(file, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, kFullRope, kWindowedRope, config));
  ORRERY_RETURN_IF_ERROR(read_gemma_scales(file, kLayersOf27B, config));
  ORRERY_ASSIGN_OR_RETURN(config.logit_cap, read_cap(file, kLogitCap, 0.0));
  return config;
}

}  // namespace orrery
