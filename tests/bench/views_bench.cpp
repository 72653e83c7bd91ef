// UI-thread time of a frame: a step arrives, the views' scenes are built and turned into ImGui draw data.
// 30 layers x 9 heads, 2,000 tokens, 1600 x 1000, as recorded live (exact rows for the first 512 steps). Target: at
// most 4 ms a frame for the window as a whole, GL excluded.
//
// views_at_length: 32 layers x 32 heads after 32,768 tokens, as a window holds them that saw all of them: what fits
// 512 MB near the newest, and the gathered map of one head. p95_ms is what the target is held against.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>

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

// Frames of every step share one memory of made-up values: what they are is not what is measured.
class LongRun {
 public:
  static constexpr int64_t kSteps = 32768;
  static constexpr int32_t kLayers = 32, kHeads = 32;

  LongRun() : values_(new float[kValues], std::default_delete<float[]>()) {
    for (size_t i = 0; i < kValues; ++i) values_.get()[i] = static_cast<float>(i * 2654435761u % 1000) * 1e-5f;
    // Pairs of the largest: ids that are keys, with weights.
    tops_ = std::shared_ptr<float>(new float[kTops], std::default_delete<float[]>());
    for (size_t i = 0; i < kTops; ++i) {
      tops_.get()[i] = i % 2 == 0 ? static_cast<float>(i * 7919 % 32768) : static_cast<float>(64 - i / 2 % 32) * 1e-3f;
    }
    history_.reset(run_.info());
    for (int64_t step = 0; step < kSteps; ++step) {
      add(history_, step);
      if (step == 0) history_.gather_mass(kLayer, kHead, 1);
    }
  }
  const FrameHistory& history() const { return history_; }
  static ViewState state(int32_t head = kHead) {
    ViewState state;
    state.selected = {.step = -1, .layer = kLayer, .head = head};
    return state;
  }

  void add(FrameHistory& history, int64_t step) const {
    history.add_token(run_.token(step));
    const int64_t n_blocks = step / 64 + 1;
    if (step < 512) history.add_frame(frame("attention.row", step, values_, {kHeads, step + 1}));
    history.add_frame(frame("attention.mass", step, values_, {kHeads, n_blocks}));
    history.add_frame(frame("attention.top", step, tops_, {kHeads, 32, 2}));
    for (const char* name : {"attention.entropy", "attention.first", "attention.previous", "attention.distance",
                             "attention.output", "attention.rest"}) {
      history.add_frame(frame(name, step, values_, {kHeads}));
    }
    history.add_frame(frame("residual.norm", step, values_, {}));
    for (const char* name : {"output.entropy", "output.tail"}) history.add_frame(frame(name, step, values_, {}, false));
    history.add_frame(frame("output.top", step, values_, {64, 2}, false));
    history.set_cursor(step);
  }

  static constexpr int32_t kLayer = 17, kHead = 5;

 private:
  static constexpr size_t kValues = size_t{kLayers} * kHeads * 520;
  static constexpr size_t kTops = size_t{kLayers} * kHeads * 64;

  static Frame frame(const char* probe, int64_t step, const std::shared_ptr<float>& values, std::vector<int64_t> inner,
                     bool has_layers = true) {
    Frame frame;
    frame.probe = find_probe(probe);
    frame.step_begin = step;
    frame.step_end = step + 1;
    frame.shape = {1};
    if (has_layers) {
      frame.shape.push_back(kLayers);
      for (int32_t layer = 0; layer < kLayers; ++layer) frame.layers.push_back(layer);
    }
    frame.shape.insert(frame.shape.end(), inner.begin(), inner.end());
    frame.payload_bytes = static_cast<size_t>(frame.n_values()) * sizeof(float);
    frame.payload = std::shared_ptr<const std::byte>(values, reinterpret_cast<const std::byte*>(values.get()));
    return frame;
  }

  SampleRun run_{.n_layers = kLayers, .n_heads = kHeads};
  FrameHistory history_{size_t{512} << 20};
  std::shared_ptr<float> values_, tops_;
};

// CPU time of this thread: what others do on the machine does not count.
double thread_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

// A frame after each of 100 further steps: the step is taken in, what is to be gathered is, the scene is made and
// turned into draw data.
void at_length(benchmark::State& state, const View& view, const ViewState& view_state) {
  static const LongRun* const run = new LongRun;
  FrameHistory history = run->history();
  const Theme& theme = theme_of(ThemeKind::kDark);
  const FixedWidthMetrics metrics(theme);
  const SampleTexts texts;
  HeadlessImGui imgui(kSize);
  std::vector<double> ms;
  int64_t step = LongRun::kSteps;
  for (auto _ : state) {
    const double start = thread_ms();
    run->add(history, step++);
    history.gather_mass(view_state.selected.layer, view_state.selected.head, 256);
    const Scene scene = view.scene({history, view_state, kSize, metrics, &texts});
    imgui.frame(scene, theme, metrics);
    ms.push_back(thread_ms() - start);
  }
  std::ranges::sort(ms);
  state.counters["p95_ms"] = ms[ms.size() * 95 / 100];
  state.counters["max_ms"] = ms.back();
  state.SetLabel(std::string(view.name()));
}

void views_at_length(benchmark::State& state) {
  at_length(state, *all_views()[static_cast<size_t>(state.range(0))], LongRun::state());
}
// Another head is chosen: its map is gathered from what is held while frames go on.
void attention_of_another_head(benchmark::State& state) {
  at_length(state, **find_view("attention"), LongRun::state(LongRun::kHead + 1));
}
// The last 2,000 steps alone: rows of 4 with the marks of the 32 largest.
void attention_zoomed(benchmark::State& state) {
  ViewState view_state = LongRun::state();
  view_state.steps = {LongRun::kSteps - 2000, LongRun::kSteps};
  at_length(state, **find_view("attention"), view_state);
}

BENCHMARK(views_at_length)
    ->DenseRange(0, static_cast<int>(all_views().size()) - 1)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(100);
BENCHMARK(attention_of_another_head)->Unit(benchmark::kMillisecond)->Iterations(100);
BENCHMARK(attention_zoomed)->Unit(benchmark::kMillisecond)->Iterations(100);
BENCHMARK(mixing_at_32k)->DenseRange(0, 1)->Unit(benchmark::kMillisecond)->Iterations(64);
BENCHMARK(views_frame)->DenseRange(0, static_cast<int>(all_views().size()) - 1)->Unit(benchmark::kMillisecond)->Iterations(64);
BENCHMARK(views_scene)->DenseRange(0, static_cast<int>(all_views().size()) - 1)->Unit(benchmark::kMillisecond)->Iterations(64);
BENCHMARK(timeline_frame)->Unit(benchmark::kMillisecond)->Iterations(64);

}  // namespace
}  // namespace orrery

BENCHMARK_MAIN();
