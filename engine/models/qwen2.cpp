#include "engine/models/qwen2.h"

#include "engine/models/decoder_config.h"

namespace orrery {

Result<ModelConfig> read_qwen2_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, {}));
  ORRERY_RETURN_IF_ERROR(read_qwen_windows(file, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  return config;
}

Result<void> read_qwen_windows(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kUsualWindow = 4096;  // of transformers' Qwen2Config and Qwen3Config, as is the next
  constexpr int64_t kUsualFirst = 28;
  if (file.format() == ModelFile::Format::kGguf) return {};
  ORRERY_ASSIGN_OR_RETURN(const bool is_on, file.boolean({"", "use_sliding_window"}, false));
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated, read_window(file, kUsualWindow));
  ORRERY_ASSIGN_OR_RETURN(const int64_t first, file.integer({"", "max_window_layers"}, 0, 1 << 20, kUsualFirst));
  const int64_t window = is_on ? stated : 0;
  return set_windows(
      file, window, [&](int32_t layer) { return window > 0 && layer >= first; }, config);
}

}  // namespace orrery
