// Orrery's own small hybrids against their reference, and settings that cannot be.
#include <gtest/gtest.h>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

const ModelGolden kGoldens[] = {{"tiny-orrery-hybrid", "tiny-orrery-hybrid"},
                                {"tiny-orrery-hybrid-exits", "tiny-orrery-hybrid-exits"},
                                {"tiny-orrery-hybrid-plain", "tiny-orrery-hybrid-plain"},
                                {"tiny-orrery-hybrid-fast", "tiny-orrery-hybrid-fast"}};

class OrreryHybrid : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(OrreryHybrid, MatchesTheReferenceInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden);
}

INSTANTIATE_TEST_SUITE_P(All, OrreryHybrid, ::testing::ValuesIn(kGoldens), golden_test_name);

TEST(OrreryHybridTrained, MatchesTheReferenceWithItsExitsAndWithout) {
  expect_matches_golden(asset("models/orrery-hybrid"), asset("goldens/hybrids/orrery-hybrid"));
  const ChangedFolder whole("orrery-hybrid", {{"exit_threshold", 2.0}});
  expect_matches_golden(whole.path(), asset("goldens/hybrids/orrery-hybrid-whole"));
}

TEST(OrreryHybridSettings, ThoseThatCannotBeAreRefused) {
  const char* const model = "tiny-orrery-hybrid-exits";
  expect_refused(model, {{"layer_types", {"full_attention", "mamba2", "sliding_attention", "moe", "mamba3"}}},
                 {"layer_types", "mamba2", "mamba3"});
  expect_refused(model, {{"layer_types", nlohmann::json::array()}}, {"layer_types"});
  expect_refused(model, {{"num_hidden_layers", 4}}, {"layer_types", "4"});
  expect_refused(model, {{"sliding_window", 0}}, {"sliding_window", "layer 2"});
  expect_refused(model, {{"loop_layers", {4, 1}}}, {"loop_layers", "first"});
  expect_refused(model, {{"loop_layers", {1, 9}}}, {"loop_layers", "9"});
  expect_refused(model, {{"loop_layers", {1}}}, {"loop_layers"});
  expect_refused(model, {{"num_loops", 100000}}, {"num_loops", "100000"});
  expect_refused(model, {{"exit_threshold", 0}}, {"exit_threshold", "above 0"});
  expect_refused(model, {{"attention_scale", -1}}, {"attention_scale", "-1"});
  expect_refused(model, {{"state_size", 99}}, {"state_size", "99"});
  expect_refused(model, {{"num_experts", 3}}, {"num_experts", "3"});
}

TEST(OrreryHybridSettings, ALoopOfOneIsNone) {
  const ChangedFolder folder("tiny-orrery-hybrid", {{"num_loops", 1}});
  // What the loop alone needs would be left over.
  EXPECT_NE(folder.refusal().find("model.loop"), std::string::npos) << folder.refusal();
}

}  // namespace
}  // namespace orrery::testing
