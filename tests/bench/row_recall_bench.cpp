// How long the exact row of a click takes: of the first, a middle and the last layer of a model, at the newest token
// and in the middle of a long text, out of a cache that is filled with made-up keys (the time does not depend on them).
// ORRERY_BENCH_MODEL names the model (a file or a folder; default: a tiny one, from the repository's root),
// ORRERY_BENCH_TOKENS the length (32768). Target: 50 ms for a small model at 32,768 tokens.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "app/open_model.h"
#include "app/row_recall.h"

namespace orrery {
namespace {

struct Filled {
  OpenedModel opened;
  std::unique_ptr<Generator> generator;
  std::vector<int32_t> ids;
};

const Filled& filled() {
  static const Filled* const kFilled = [] {
    const char* model = std::getenv("ORRERY_BENCH_MODEL");
    const char* tokens = std::getenv("ORRERY_BENCH_TOKENS");
    const int64_t n = tokens == nullptr ? 32768 : std::atoll(tokens);
    const std::string path = model == nullptr ? "assets/models/tiny-text.q8_0.gguf" : model;
    Result<OpenedModel> opened = open_model({.model = path, .backend = {.name = "cpu", .threads = 2}, .kv = {}});
    CHECK(opened.has_value(), "the model cannot be opened");
    auto* made = new Filled{.opened = std::move(*opened), .generator = nullptr, .ids = {}};
    made->generator = std::make_unique<Generator>(made->opened.model, made->opened.kv);
    made->ids.assign(static_cast<size_t>(n), 7);
    const Cache& cache = made->generator->cache();
    // 0x2C2C: 0.065 in float16.
    const std::vector<std::byte> states(cache.states_bytes(n), std::byte{0x2C});
    std::vector<Cache::SavedKeys> keys;
    if (cache.keeps_all_keys()) {
      keys.push_back({.begin = 0, .end = n, .bytes = std::vector(cache.keys_bytes(0, n), std::byte{0x2C})});
    }
    CHECK(made->generator->restore(n, states, keys).has_value(), "the cache cannot be filled");
    return made;
  }();
  return *kFilled;
}

void recall(benchmark::State& state, double layer_at, double step_at) {
  const Filled& run = filled();
  const std::vector<int32_t> layers = find_probe("attention.row")->layers(run.opened.model->config());
  const auto last = static_cast<double>(layers.size() - 1);
  RowRequest request{.tag = 0,
                     .run = 1,
                     .probe = find_probe("attention.row"),
                     .step = static_cast<int64_t>(static_cast<double>(run.ids.size() - 1) * step_at),
                     .layer = layers[static_cast<size_t>(last * layer_at)]};
  for (auto _ : state) {
    RowRecall rows(*run.generator);  // nothing kept of the click before
    CHECK(rows.begin(request, run.ids, {}).has_value());
    if (rows.n_total() > 64) return state.SkipWithError("made-up windows cannot be cut back so far");
    while (true) {
      const auto row = rows.go_on(64);
      CHECK(row.has_value());
      if (*row) break;
    }
    state.counters["tokens"] = static_cast<double>(rows.n_total());
  }
  state.SetLabel("layer " + std::to_string(request.layer) + ", step " + std::to_string(request.step));
}

void last_layer(benchmark::State& state) { recall(state, 1, 1); }
void middle_layer(benchmark::State& state) { recall(state, 0.5, 1); }
void first_layer(benchmark::State& state) { recall(state, 0, 1); }
void last_layer_of_a_middle_step(benchmark::State& state) { recall(state, 1, 0.5); }

BENCHMARK(last_layer)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(10);
BENCHMARK(middle_layer)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(10);
BENCHMARK(first_layer)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(10);
BENCHMARK(last_layer_of_a_middle_step)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(10);

}  // namespace
}  // namespace orrery

BENCHMARK_MAIN();
