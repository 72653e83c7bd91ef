// Runs a model over the tokens of a golden and holds every measured quantity against the reference's arrays.
// Every architecture's test uses it: one line per golden.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "engine/generator.h"
#include "engine/model.h"
#include "tests/support/npy.h"

namespace orrery::testing {

// Bounds of the project: absolute for logits and weights, relative for norms and mean magnitudes.
struct GoldenBounds {
  double logits = 1e-3;
  double attention_row = 2e-4;
  double state_row = 1e-4;
  double norm_relative = 1e-3;
  double probability = 1e-3;
};

// A model of assets/models and the folder of arrays that it is held against.
struct ModelGolden {
  const char* model;
  const char* golden;
  GoldenBounds bounds = {};
};
// The model's name as a test's: what is no letter or digit becomes "_".
std::string golden_test_name(const ::testing::TestParamInfo<ModelGolden>& golden);

inline std::filesystem::path asset(const std::string& name) {
  return std::filesystem::path(ORRERY_SOURCE_DIR) / "assets" / name;
}

// All that the engine can measure, for all layers and heads.
ProbePlan plan_of_everything(const ModelConfig& config);

// Everything that a run over `tokens` measured, put together over its batches.
struct Measured {
  std::vector<float> logits;            // [T, vocab]
  std::vector<float> attention_row;     // [T, layer with attention, head, T]
  std::vector<float> attention_output;  // [T, layer with attention, head]
  std::vector<float> residual_norm;     // [T, layer]
  std::vector<float> state_norm;        // [T, layer with a state, head]
  std::vector<float> state_write;       // [T, layer with a state, head]
  std::vector<float> state_erase;       // [T, layer with a state, head]
  std::vector<float> state_read;        // [T, layer with a state, head]
  std::vector<float> state_keep;        // [T, layer with a state, head, 3]
  std::vector<float> fast_loss_before;  // [T, layer with fast weights, head], as the next four
  std::vector<float> fast_loss_after;
  std::vector<float> fast_rate;
  std::vector<float> fast_update;
  std::vector<float> fast_drift;
  std::vector<float> conv_taps;       // [T, layer with a convolution, tap]
  std::vector<float> conv_gate_in;    // [T, layer with a gated convolution]
  std::vector<float> conv_gate_out;   // [T, layer with a gated convolution]
  std::vector<int32_t> moe_experts;   // [T, layer with experts, k]
  std::vector<float> moe_weights;     // [T, layer with experts, k]
  std::vector<float> moe_margin;      // [T, layer with experts]
  std::vector<float> moe_entropy;     // [T, layer with experts]
  std::vector<int32_t> loop_depth;    // [T]
  std::vector<float> loop_exit;       // [T, iteration]
  std::vector<float> loop_step;       // [T, iteration]
  std::vector<float> loop_cosine;     // [T, iteration]
  std::vector<float> lens_top;        // [T, layer, 8, 2]
  std::vector<float> output_top;      // [T, 64, 2]
  std::vector<float> output_entropy;  // [T]
  std::vector<float> output_tail;     // [T]
  bool operator==(const Measured&) const = default;
};

// Feeds `tokens` in batches of at most batch_rows, with float32 caches. With `with_probes` false only logits are
// filled.
Measured measure(const std::shared_ptr<const Model>& model, const std::vector<int32_t>& tokens, int64_t batch_rows,
                 bool with_probes = true);

std::shared_ptr<const Model> load_model(const std::filesystem::path& path, int n_threads = 2);

// Runs the model in batches of each of these sizes (0: all at once) and compares with the golden's files; those that
// the golden lacks are not compared, but logits must be there. attention_steps names the steps whose rows attention_row
// has; without it, it has all.
void expect_matches_golden(const std::shared_ptr<const Model>& model, const std::filesystem::path& golden,
                           const GoldenBounds& bounds, const std::vector<int64_t>& batch_sizes);
// The same on the CPU: all at once, one by one, 7 at a time.
void expect_matches_golden(const std::filesystem::path& model, const std::filesystem::path& golden,
                           const GoldenBounds& bounds = {});

}  // namespace orrery::testing
