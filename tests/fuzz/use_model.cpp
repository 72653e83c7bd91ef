#include "tests/fuzz/use_model.h"

#include <string>
#include <vector>

#include "engine/generator.h"
#include "engine/model.h"

namespace orrery::testing {

namespace {

// Beyond this a model is only described: computing with it would be slow, not wrong.
constexpr int64_t kMostWork = int64_t{1} << 24;

int64_t work_of(const ModelConfig& config) {
  int64_t per_layer = 0;
  for (const LayerConfig& layer : config.layers) {
    const int64_t heads = int64_t{layer.attention.n_heads} * (layer.attention.d_head_k + layer.attention.d_head_v);
    per_layer += config.d_model * (heads + layer.d_ffn);
  }
  return per_layer + config.d_model * config.vocab_size;
}

}  // namespace

void use_model(const std::shared_ptr<const ModelFile>& file) {
  const Result<ModelConfig> config = read_config(*file);
  if (!config || work_of(*config) > kMostWork) return;
  static const std::shared_ptr<Backend> backend = make_cpu_backend(1);
  const auto model = Model::load(file, backend, Model::LoadOptions{});
  if (!model) return;
  for (int32_t layer = 0; layer < config->n_layers(); ++layer) (void)layer_label(*config, layer);
  Generator generator(*model, DType::kF16);
  const std::vector<int32_t> tokens = {0, static_cast<int32_t>((*model)->config().vocab_size - 1), 0};
  (void)generator.feed(tokens, ProbePlan(), LogitsWanted::kAll);
}

void use_tokenizer(const Tokenizer& tokenizer, std::string_view text) {
  for (const EncodeOptions options : {EncodeOptions(), EncodeOptions::plain()}) {
    const auto ids = tokenizer.encode(text, options);
    if (!ids) continue;
    (void)tokenizer.decode(*ids);
    (void)tokenizer.decode(*ids, false);
    StreamDecoder stream(tokenizer);
    for (const int32_t id : *ids) (void)stream.push(id);
    (void)stream.finish();
  }
}

}  // namespace orrery::testing
