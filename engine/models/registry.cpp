#include "engine/models/registry.h"

#include "engine/models/decoder_builder.h"
#include "engine/models/gemma.h"
#include "engine/models/gemma2.h"
#include "engine/models/gemma3.h"
#include "engine/models/llama.h"
#include "engine/models/mistral.h"
#include "engine/models/qwen2.h"
#include "engine/models/qwen3.h"

namespace orrery {

std::span<const Architecture> architectures() {
  static constexpr Architecture kArchitectures[] = {
      {"llama", "llama", read_llama_config, build_pre_norm_decoder},
      {"qwen2", "qwen2", read_qwen2_config, build_pre_norm_decoder},
      {"qwen3", "qwen3", read_qwen3_config, build_pre_norm_decoder},
      {"", "mistral", read_mistral_config, build_pre_norm_decoder},
      {"mistral3", "mistral3", read_mistral_config, build_pre_norm_decoder},
      {"gemma2", "gemma2", read_gemma2_config, build_gemma},
      {"gemma3", "gemma3", read_gemma3_config, build_gemma},
      {"", "gemma3_text", read_gemma3_config, build_gemma},
  };
  return kArchitectures;
}

Result<const Architecture*> find_architecture(const ModelFile& file) {
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  std::string known;
  for (const Architecture& architecture : architectures()) {
    const std::string_view name = is_gguf ? architecture.gguf_name : architecture.hf_name;
    if (!name.empty() && name == file.architecture()) return &architecture;
    if (!name.empty()) known += (known.empty() ? "" : ", ") + std::string(name);
  }
  const std::string named = file.architecture().empty() ? "none named" : file.architecture().substr(0, 60);
  return Error{ErrorCode::kUnsupported,
               file.path() + ": this architecture cannot be run yet (those that can: " + known + "): " + named};
}

}  // namespace orrery
