#include "engine/models/gemma2.h"

#include "engine/models/gemma.h"

namespace orrery {

Result<ModelConfig> read_gemma2_config(const ModelFile& file) {
  constexpr DecoderTraits kGemma2{
      .tied_embedding = true, .activation_key = "hidden_activation", .activation = Activation::kGeluTanh};
  constexpr int64_t kUsualWindow = 4096;  // of transformers' Gemma2Config and llama.cpp, as are the caps
  constexpr double kUsualScoreCap = 50.0, kUsualLogitCap = 30.0;
  constexpr int32_t kLayersOf27B = 46;
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "use_bidirectional_attention"}));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, kGemma2));
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, kUsualWindow));
  ORRERY_RETURN_IF_ERROR(set_windows(
      file, window, [](int32_t layer) { return layer % 2 == 0; }, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  ORRERY_RETURN_IF_ERROR(read_gemma_scales(file, kLayersOf27B, config));
  ORRERY_ASSIGN_OR_RETURN(config.logit_cap, read_cap(file, kLogitCap, kUsualLogitCap));
  ORRERY_ASSIGN_OR_RETURN(const float score_cap, read_cap(file, kScoreCap, kUsualScoreCap));
  for (LayerConfig& layer : config.layers) layer.attention.score_cap = score_cap;
  return config;
}

}  // namespace orrery
