// Whole models on the CUDA backend against transformers: the goldens of the CPU's tests, in a batch and in steps.
#include <algorithm>

#include "tests/engine/cuda/on_backend.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

// Logits: the project's bound for devices. The rest: 10 times the CPU's.
constexpr GoldenBounds kDevice{
    .logits = 2e-3, .attention_row = 2e-3, .state_row = 1e-3, .norm_relative = 1e-2, .probability = 1e-2};

struct Golden {
  const char* model;
  const char* golden;
};

// What differs between kernels: dtypes, grouped heads, biases, windows, QK norms, caps, activations, both pairings;
// then short convolutions, recurrences with decays by channel, by head, and that erase, token shifts, layer norms, fast
// weights of both kinds, experts by all kinds of scores, sinks; latent attention.
constexpr Golden kGoldens[] = {
    {"tiny-llama-a", "llama/a"},
    {"tiny-llama-c.f16.gguf", "llama/c-f16"},
    {"tiny-llama-c-bf16", "llama/c-bf16"},
    {"tiny-llama-c.q4_0.gguf", "llama/c-q4_0"},
    {"tiny-llama-c.q4_1.gguf", "llama/c-q4_1"},
    {"tiny-llama-d", "llama/d"},
    {"tiny-llama-e", "llama/e"},
    {"tiny-qwen2", "decoders/tiny-qwen2"},
    {"tiny-qwen3-b.q8_0.gguf", "decoders/tiny-qwen3-b.q8_0"},
    {"tiny-mistral", "decoders/tiny-mistral"},
    {"tiny-gemma2.f32.gguf", "decoders/tiny-gemma2"},
    {"tiny-gemma3", "decoders/tiny-gemma3"},
    {"tiny-lfm2-b", "hybrids/tiny-lfm2-b"},
    {"tiny-lfm2-moe-b", "hybrids/tiny-lfm2-moe-b"},
    {"tiny-lfm3-b", "hybrids/tiny-lfm3-b"},
    {"tiny-mamba-b", "hybrids/tiny-mamba-b"},
    {"tiny-falcon-mamba-b", "hybrids/tiny-falcon-mamba-b"},
    {"tiny-mamba2-c", "hybrids/tiny-mamba2-c"},
    {"tiny-jamba-b", "hybrids/tiny-jamba-b"},
    {"tiny-granite-hybrid", "hybrids/tiny-granite-hybrid"},
    {"tiny-bamba-b", "hybrids/tiny-bamba-b"},
    {"tiny-zamba2-b", "hybrids/tiny-zamba2-b"},
    {"tiny-falcon-h1-c", "hybrids/tiny-falcon-h1-c"},
    {"tiny-nemotron-h-moe-c", "hybrids/tiny-nemotron-h-moe-c"},
    {"tiny-qwen3-next-b", "hybrids/tiny-qwen3-next-b"},
    {"tiny-olmo-hybrid-b", "hybrids/tiny-olmo-hybrid-b"},
    {"tiny-minimax-b", "hybrids/tiny-minimax-b"},
    {"tiny-retnet-c", "hybrids/tiny-retnet-c"},
    {"tiny-samba", "hybrids/tiny-samba"},
    {"tiny-ttt-linear-b", "hybrids/tiny-ttt-linear-b"},
    {"tiny-ttt-mlp-b", "hybrids/tiny-ttt-mlp-b"},
    {"tiny-rwkv7", "hybrids/tiny-rwkv7"},
    {"tiny-rwkv7-c", "hybrids/tiny-rwkv7-c"},
    {"tiny-recurrent-gemma", "hybrids/tiny-recurrent-gemma"},
    {"tiny-mixtral-b", "hybrids/tiny-mixtral-b"},
    {"tiny-olmoe-b", "hybrids/tiny-olmoe-b"},
    {"tiny-qwen3-moe-b", "hybrids/tiny-qwen3-moe-b"},
    {"tiny-gpt-oss-packed", "hybrids/tiny-gpt-oss-packed"},
    {"tiny-deepseek-v3", "hybrids/tiny-deepseek-v3"},
    {"tiny-deepseek-v3-c.f32.gguf", "hybrids/tiny-deepseek-v3-c"},
    {"tiny-kimi-linear-b", "hybrids/tiny-kimi-linear-b"},
    {"tiny-huginn-b", "hybrids/tiny-huginn-b"},
    {"tiny-huginn-c", "hybrids/tiny-huginn-c"},
    {"tiny-loopformer-b", "hybrids/tiny-loopformer-b"},
    {"tiny-ouro-b", "hybrids/tiny-ouro-b"},
    {"tiny-orrery-hybrid", "hybrids/tiny-orrery-hybrid"},
    {"tiny-orrery-hybrid-exits", "hybrids/tiny-orrery-hybrid-exits"},
    {"tiny-orrery-hybrid-fast", "hybrids/tiny-orrery-hybrid-fast"},
};

class CudaModels : public CudaOperation {
 protected:
  std::shared_ptr<const Model> load(const std::string& name) {
    auto model = Model::load(asset("models") / name, backend_);
    EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message);
    return model ? *model : nullptr;
  }
};

TEST_P(CudaModels, MatchTransformersInABatch) {
  for (const Golden& golden : kGoldens) {
    SCOPED_TRACE(golden.model);
    expect_matches_golden(load(golden.model), asset("goldens") / golden.golden, kDevice, {0});
  }
}

// One token after the other and 7 at a time, in turns: both take the emulation a minute.
TEST_P(CudaModels, MatchTransformersInStepsSlow) {
  int64_t n_at_once = 1;
  for (const Golden& golden : kGoldens) {
    SCOPED_TRACE(golden.model);
    expect_matches_golden(load(golden.model), asset("goldens") / golden.golden, kDevice, {n_at_once});
    n_at_once = 8 - n_at_once;
  }
}

TEST_P(CudaModels, AreTheSameInEveryRun) {
  const auto tokens = read_npy<int32_t>(asset("goldens/llama/c-q4_1/tokens.npy")).values;
  const auto model = load("tiny-llama-c.q4_1.gguf");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(measure(model, tokens, 20), measure(model, tokens, 20));
}

TEST_P(CudaModels, SayBytesNeededAndThereWhereMemoryIsOut) {
  const auto model = load("tiny-llama-a");
  ASSERT_NE(model, nullptr);
  const Result<std::unique_ptr<Allocation>> refused = backend_->allocate(size_t{1} << 55);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  EXPECT_NE(refused.error().message.find("36028797018963968"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find(" there are "), std::string::npos) << refused.error().message;
}

ORRERY_CUDA_OPERATION_TESTS(CudaModels);

}  // namespace
}  // namespace orrery::testing
