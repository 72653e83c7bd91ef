// Granite 4.0 H, Bamba, Falcon-H1, Nemotron-H, Qwen3-Next, OLMo Hybrid and Zamba2 against transformers; the goldens'
// README says how they were made.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

struct Golden {
  const char* model;
  const char* golden;
};

const Golden kGoldens[] = {
    {"tiny-granite-hybrid", "tiny-granite-hybrid"},
    {"tiny-granite-hybrid.f32.gguf", "tiny-granite-hybrid"},
    {"tiny-granite-hybrid-dense", "tiny-granite-hybrid-dense"},
    {"tiny-bamba", "tiny-bamba"},
    {"tiny-bamba.f32.gguf", "tiny-bamba"},
    {"tiny-bamba-b", "tiny-bamba-b"},
    {"tiny-falcon-h1", "tiny-falcon-h1"},
    {"tiny-falcon-h1.f32.gguf", "tiny-falcon-h1"},
    {"tiny-falcon-h1-b", "tiny-falcon-h1-b"},
    {"tiny-falcon-h1-c", "tiny-falcon-h1-c"},
    {"tiny-falcon-h1-c.f32.gguf", "tiny-falcon-h1-c"},
    {"tiny-nemotron-h", "tiny-nemotron-h"},
    {"tiny-nemotron-h-b", "tiny-nemotron-h-b"},
    {"tiny-nemotron-h-b.f32.gguf", "tiny-nemotron-h-b"},
    {"tiny-nemotron-h-moe", "tiny-nemotron-h-moe"},
    {"tiny-nemotron-h-moe-b", "tiny-nemotron-h-moe-b"},
    {"tiny-nemotron-h-moe-b.f32.gguf", "tiny-nemotron-h-moe-b"},
    {"tiny-nemotron-h-moe-c", "tiny-nemotron-h-moe-c"},
    {"tiny-nemotron-h-moe-c.f32.gguf", "tiny-nemotron-h-moe-c"},
    {"tiny-qwen3-next", "tiny-qwen3-next"},
    {"tiny-qwen3-next.f32.gguf", "tiny-qwen3-next"},
    {"tiny-qwen3-next-b", "tiny-qwen3-next-b"},
    {"tiny-olmo-hybrid", "tiny-olmo-hybrid"},
    {"tiny-olmo-hybrid-b", "tiny-olmo-hybrid-b"},
    {"tiny-zamba2", "tiny-zamba2"},
    {"tiny-zamba2-b", "tiny-zamba2-b"},
};

class HybridGoldenB : public ::testing::TestWithParam<Golden> {};

TEST_P(HybridGoldenB, MatchesTransformersInBatchesAndSteps) {
  const Golden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden);
}

INSTANTIATE_TEST_SUITE_P(All, HybridGoldenB, ::testing::ValuesIn(kGoldens), [](const auto& golden) {
  std::string name = golden.param.model;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace orrery::testing
