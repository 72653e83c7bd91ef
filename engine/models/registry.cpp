#include "engine/models/registry.h"

#include "engine/models/decoder_builder.h"
#include "engine/models/deepseek_v3.h"
#include "engine/models/falcon_h1.h"
#include "engine/models/gemma.h"
#include "engine/models/gemma2.h"
#include "engine/models/gemma3.h"
#include "engine/models/gpt_oss.h"
#include "engine/models/granite_hybrid.h"
#include "engine/models/huginn.h"
#include "engine/models/jamba.h"
#include "engine/models/kimi_linear.h"
#include "engine/models/lfm2.h"
#include "engine/models/lfm2_moe.h"
#include "engine/models/lfm3.h"
#include "engine/models/llama.h"
#include "engine/models/loopformer.h"
#include "engine/models/mamba.h"
#include "engine/models/mamba2.h"
#include "engine/models/minimax.h"
#include "engine/models/mistral.h"
#include "engine/models/mixtral.h"
#include "engine/models/nemotron_h.h"
#include "engine/models/olmo_hybrid.h"
#include "engine/models/olmoe.h"
#include "engine/models/orrery_hybrid.h"
#include "engine/models/ouro.h"
#include "engine/models/qwen2.h"
#include "engine/models/qwen3.h"
#include "engine/models/qwen3_moe.h"
#include "engine/models/qwen3_next.h"
#include "engine/models/recurrent_gemma.h"
#include "engine/models/retnet.h"
#include "engine/models/rwkv7.h"
#include "engine/models/samba.h"
#include "engine/models/ttt.h"
#include "engine/models/zamba2.h"

namespace orrery {

std::span<const Architecture> architectures() {
  static constexpr Architecture kArchitectures[] = {
      {"llama", "llama", read_llama_config, build_llama},
      {"qwen2", "qwen2", read_qwen2_config, build_pre_norm_decoder},
      {"qwen3", "qwen3", read_qwen3_config, build_pre_norm_decoder},
      {"", "mistral", read_mistral_config, build_pre_norm_decoder},
      {"", "mixtral", read_mixtral_config, build_mixtral},
      {"qwen3moe", "qwen3_moe", read_qwen3_moe_config, build_qwen3_moe},
      {"olmoe", "olmoe", read_olmoe_config, build_olmoe},
      {"gpt-oss", "gpt_oss", read_gpt_oss_config, build_gpt_oss},
      {"", "minimax", read_minimax_config, build_minimax},
      {"", "retnet", read_retnet_config, build_retnet},
      {"", "samba", read_samba_config, build_samba},
      {"rwkv7", "rwkv7", read_rwkv7_config, build_rwkv7},
      {"", "recurrent_gemma", read_recurrent_gemma_config, build_recurrent_gemma},
      {"mistral3", "mistral3", read_mistral_config, build_llama},
      {"gemma2", "gemma2", read_gemma2_config, build_gemma},
      {"gemma3", "gemma3", read_gemma3_config, build_gemma},
      {"", "gemma3_text", read_gemma3_config, build_gemma},
      {"lfm2", "lfm2", read_lfm2_config, build_lfm2},
      {"lfm2moe", "lfm2_moe", read_lfm2_moe_config, build_lfm2_moe},
      {"", "lfm3", read_lfm3_config, build_lfm3},
      {"mamba", "mamba", read_mamba_config, build_mamba},
      {"", "falcon_mamba", read_mamba_config, build_mamba},
      {"mamba2", "mamba2", read_mamba2_config, build_mamba2},
      {"jamba", "jamba", read_jamba_config, build_jamba},
      {"granitehybrid", "granitemoehybrid", read_granite_hybrid_config, build_granite_hybrid},
      {"", "bamba", read_bamba_config, build_bamba},
      {"falcon-h1", "falcon_h1", read_falcon_h1_config, build_falcon_h1},
      {"nemotron_h", "nemotron_h", read_nemotron_h_config, build_nemotron_h},
      {"nemotron_h_moe", "", read_nemotron_h_config, build_nemotron_h},
      {"qwen3next", "qwen3_next", read_qwen3_next_config, build_qwen3_next},
      {"", "olmo_hybrid", read_olmo_hybrid_config, build_olmo_hybrid},
      {"", "zamba2", read_zamba2_config, build_zamba2},
      {"deepseek2", "deepseek_v3", read_deepseek_v3_config, build_deepseek_v3},
      {"", "deepseek_v2", read_deepseek_v3_config, build_deepseek_v3},
      {"kimi-linear", "kimi_linear", read_kimi_linear_config, build_kimi_linear},
      {"", "ouro", read_ouro_config, build_ouro},
      {"", "orrery_hybrid", read_orrery_hybrid_config, build_orrery_hybrid},
      {"", "huginn_raven", read_huginn_config, build_huginn},
      {"", "loopformer", read_loopformer_config, build_loopformer},
      {"", "ttt", read_ttt_config, build_ttt},
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
