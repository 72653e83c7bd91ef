// The architectures that can be run: one line each in registry.cpp.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "engine/model.h"

namespace orrery {

struct Architecture {
  std::string_view gguf_name;  // general.architecture; empty where GGUF has none
  std::string_view hf_name;    // config.json's model_type; empty where there is none
  // Sizes from configuration and tensors, checked against each other before anything of their size is allocated.
  Result<ModelConfig> (*read_config)(const ModelFile& file);
  Result<ModelParts> (*build)(const ModelFile& file, ModelConfig config, const Placement& placement);
};

std::span<const Architecture> architectures();
// kUnsupported with the list of what is known.
Result<const Architecture*> find_architecture(const ModelFile& file);

}  // namespace orrery
