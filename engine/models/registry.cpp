#include "engine/models/registry.h"

#include "engine/models/llama.h"

namespace orrery {

std::span<const Architecture> architectures() {
  static constexpr Architecture kArchitectures[] = {
      {"llama", "llama", read_llama_config, build_llama},
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
