// lfm2, lfm2_moe, lfm3, mamba, falcon_mamba, mamba2 and jamba against transformers; the goldens' README says how they
// were made.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>

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
    {"tiny-lfm2", "tiny-lfm2"},
    {"tiny-lfm2-b", "tiny-lfm2-b"},
    {"tiny-lfm2-b.f32.gguf", "tiny-lfm2-b"},
    {"tiny-lfm2-moe", "tiny-lfm2-moe"},
    {"tiny-lfm2-moe.f32.gguf", "tiny-lfm2-moe"},
    {"tiny-lfm2-moe-b", "tiny-lfm2-moe-b"},
    {"tiny-lfm3", "tiny-lfm3"},
    {"tiny-lfm3-b", "tiny-lfm3-b"},
    {"tiny-mamba", "tiny-mamba"},
    {"tiny-mamba.f32.gguf", "tiny-mamba"},
    {"tiny-mamba-b", "tiny-mamba-b"},
    {"tiny-falcon-mamba", "tiny-falcon-mamba"},
    {"tiny-falcon-mamba-b", "tiny-falcon-mamba-b"},
    {"tiny-falcon-mamba-b.f32.gguf", "tiny-falcon-mamba-b"},
    {"tiny-mamba2", "tiny-mamba2"},
    {"tiny-mamba2-b", "tiny-mamba2-b"},
    {"tiny-mamba2-b.f32.gguf", "tiny-mamba2-b"},
    {"tiny-mamba2-c", "tiny-mamba2-c"},
    {"tiny-jamba", "tiny-jamba"},
    {"tiny-jamba.f32.gguf", "tiny-jamba"},
    {"tiny-jamba-b", "tiny-jamba-b"},
};

class HybridAGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(HybridAGolden, MatchesTransformersInBatchesAndSteps) {
  const Golden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden);
}

INSTANTIATE_TEST_SUITE_P(All, HybridAGolden, ::testing::ValuesIn(kGoldens), [](const auto& golden) {
  std::string name = golden.param.model;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace orrery::testing
