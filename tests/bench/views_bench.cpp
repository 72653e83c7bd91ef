// UI-thread time of a frame: a step arrives, the views' scenes are built and turned into ImGui draw data.
// 30 layers x 9 heads, 2,000 tokens, 1600 x 1000, as recorded live (exact rows for the first 512 steps). Target: at
// most 4 ms a frame for the window as a whole, GL excluded.
#include <benchmark/benchmark.h>

#include "tests/views/fake_glyphs.h"
#include "tests/views/sample_run.h"
#include "views/registry.h"

namespace orrery {
namespace {

constexpr int64_t kSteps = 2000;
constexpr Size kSize{1600, 1000};

// Steps beyond the first 2,000, made beforehand: making them is not what is measured.
struct Live {
  SampleRun run;
  FrameHistory history{size_t{2} << 30};
  std::vector<FrameBatch> next;
  explicit Live(int64_t exact_steps) {
    run.exact_steps = exact_steps;
    history = run.history(kSteps, size_t{2} << 30);
    for (int64_t i = 0; i < 64; ++i) next.push_back(run.batch(kSteps + i));
  }
};

Live& live() {
  static Live one(512);
  return one;
}

void one_view(benchmark::State& state, const View& view, bool scene_only) {
  Live& source = live();
  FrameHistory history = source.history;
  const Theme& theme = theme_of(ThemeKind::kDark);
  const FixedWidthMetrics metrics(theme);
  const SampleTexts texts;
  HeadlessImGui imgui(kSize);
  const ViewState view_state;
  size_t i = 0;
  int n_vertices = 0;
  for (auto _ : state) {
    history.add_batch(source.next[i++ % source.next.size()]);
    const Scene scene = view.scene({history, view_state, kSize, metrics, &texts});
    if (!scene_only) n_vertices = imgui.frame(scene, theme, metrics).n_vertices;
    benchmark::DoNotOptimize(scene.items.size());
  }
  state.counters["vertices"] = n_vertices;
}

void views_frame(benchmark::State& state) { one_view(state, *all_views()[static_cast<size_t>(state.range(0))], false); }
void views_scene(benchmark::State& state) { one_view(state, *all_views()[static_cast<size_t>(state.range(0))], true); }
void timeline_frame(benchmark::State& state) { one_view(state, timeline_view(), false); }

// What every mixer of 32 layers x 32 heads reads at step 32,767: exact rows are held (134 MB), or block mass alone.
void mixing_at_32k(benchmark::State& state) {
  constexpr int64_t kLong = 32768;
  constexpr int32_t kLayers = 32;
  constexpr int32_t kHeads = 32;
  FrameHistory history{size_t{2} << 30};
  history.reset(SampleRun{.n_layers = kLayers, .n_heads = kHeads}.info());
  for (int64_t step = 0; step < kLong; ++step) history.add_token(SampleRun{}.token(step));
  std::vector<int32_t> layers(kLayers);
  for (int32_t i = 0; i < kLayers; ++i) layers[static_cast<size_t>(i)] = i;
  const auto add = [&](const char* probe, int64_t width) {
    const std::vector<float> values(static_cast<size_t>(kLayers * kHeads * width), 1.0f / static_cast<float>(width));
    history.add_frame(make_frame(probe, kLong - 1, layers, {kHeads, width}, values));
  };
  add("attention.mass", kLong / 64);
  if (state.range(0) != 0) add("attention.row", kLong);
  const Theme& theme = theme_of(ThemeKind::kDark);
  const FixedWidthMetrics metrics(theme);
  HeadlessImGui imgui(kSize);
  for (auto _ : state) {
    const Scene scene = (*find_view("mixing"))->scene({history, ViewState{}, kSize, metrics});
    benchmark::DoNotOptimize(imgui.frame(scene, theme, metrics).n_vertices);
  }
}

BENCHMARK(mixing_at_32k)->DenseRange(0, 1)->Unit(benchmark::kMillisecond)->Iterations(64);
BENCHMARK(views_frame)->DenseRange(0, 11)->Unit(benchmark::kMillisecond)->Iterations(64);
BENCHMARK(views_scene)->DenseRange(0, 11)->Unit(benchmark::kMillisecond)->Iterations(64);
BENCHMARK(timeline_frame)->Unit(benchmark::kMillisecond)->Iterations(64);

}  // namespace
}  // namespace orrery

BENCHMARK_MAIN();
