// qwen2, qwen3, mistral and gemma3 against transformers; the goldens' README says how they were made.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Golden {
  const char* model;
  const char* golden;
  GoldenBounds bounds;
};

// As for llama: activations are rounded to 16 bits per block of 32 where weights are quantized; logits span 20 here.
constexpr GoldenBounds kQuantized{.logits = 3e-3};

const Golden kGoldens[] = {
    {"tiny-qwen2", "tiny-qwen2", {}},
    {"tiny-qwen3", "tiny-qwen3", {}},
    {"tiny-qwen3-b.f32.gguf", "tiny-qwen3-b", {}},
    {"tiny-qwen3-b.q8_0.gguf", "tiny-qwen3-b.q8_0", kQuantized},
    {"tiny-mistral", "tiny-mistral", {}},
    {"tiny-gemma3", "tiny-gemma3", {}},
    {"tiny-gemma3.f32.gguf", "tiny-gemma3", {}},
    {"tiny-gemma3-b", "tiny-gemma3-b", {}},
    {"tiny-gemma3-b.q8_0.gguf", "tiny-gemma3-b.q8_0", kQuantized},
};

class DecoderGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(DecoderGolden, MatchesTransformersInBatchesAndSteps) {
  const Golden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/decoders") / golden.golden, golden.bounds);
}

INSTANTIATE_TEST_SUITE_P(All, DecoderGolden, ::testing::ValuesIn(kGoldens), [](const auto& golden) {
  std::string name = golden.param.model;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace orrery::testing
