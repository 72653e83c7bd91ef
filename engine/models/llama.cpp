#include "engine/models/llama.h"

#include "engine/models/decoder_config.h"

namespace orrery {

Result<ModelConfig> read_llama_config(const ModelFile& file) {
  // GGUF's converter permutes the rows of q and k, so that the dimensions that turn together are neighbours.
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, {.gguf_pairing = RopePairing::kAdjacent}));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  return config;
}

}  // namespace orrery
