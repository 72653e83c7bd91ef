#include "engine/models/mistral.h"

#include "engine/models/decoder_config.h"
#include "engine/models/llama.h"

namespace orrery {

namespace {

// Ministral 3 shares the name, but its queries grow with the position, and its rotation has a magnitude of its own.
Result<void> refuse_ministral(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"attention.temperature_scale", "rope_parameters.llama_4_scaling_beta"}));
  if (file.architecture() != "mistral3" || file.format() == ModelFile::Format::kGguf) return {};
  ORRERY_ASSIGN_OR_RETURN(const std::string text_model, file.text({"", "text_config.model_type"}, "mistral"));
  if (text_model == "mistral") return {};
  return Error{ErrorCode::kUnsupported,
               file.path() + ": the text_config of a mistral3 model must be of type mistral, but is " + text_model};
}

}  // namespace

Result<ModelConfig> read_mistral_config(const ModelFile& file) {
  constexpr int64_t kUsualWindow = 4096;  // of transformers' MistralConfig
  ORRERY_RETURN_IF_ERROR(refuse_ministral(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_llama_config(file));
  if (file.format() == ModelFile::Format::kGguf) return config;  // the file says nothing of windows
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, kUsualWindow));
  for (LayerConfig& layer : config.layers) layer.attention.window = window;
  return config;
}

}  // namespace orrery
