#include "engine/models/qwen3.h"

#include "engine/models/decoder_config.h"
#include "engine/models/qwen2.h"

namespace orrery {

Result<ModelConfig> read_qwen3_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, {.qk_norm = true}));
  ORRERY_RETURN_IF_ERROR(read_qwen_windows(file, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  return config;
}

}  // namespace orrery
