// Times the operations of a backend, on "cpu" and, where a device works, on "cuda", at the shapes of an 8B model (d
// 4096, ffn 14336, 32 heads over 8). A pass queues an operation on several copies of its weights or keys, more than the
// caches hold, and waits once. Names: backend/operation/shape/dtype[/level]. items/s: operations; bytes/s: weights, or
// keys and values, or rows, once per operation, as memory must deliver them; FLOP/s: products and sums of matrix
// products. --benchmark_filter=^cuda/ picks; ORRERY_BENCH_THREADS sets the CPU's threads (default: usable cores).
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "tests/engine/cuda/on_backend.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

using testing::OnBackend;

constexpr int64_t kBeyondCaches = int64_t{256} << 20;  // bytes that a pass reads, where 32 copies reach so far
constexpr int64_t kMostCopies = 32;

int64_t copies_of(int64_t n_bytes) { return std::clamp<int64_t>(kBeyondCaches / n_bytes, 1, kMostCopies); }

// Runs passes of n operations; queue(i) queues the i-th.
template <typename Queue>
void time_passes(benchmark::State& state, Backend& backend, int64_t n, int64_t bytes_each, const Queue& queue) {
  const auto pass = [&] {
    for (int64_t i = 0; i < n; ++i) queue(i);
    return backend.finish({});
  };
  // Twice: on a device the second is recorded as a graph, which the others replay.
  for (int warm_up = 0; warm_up < 2; ++warm_up) {
    if (const Result<void> finished = pass(); !finished) return state.SkipWithError(finished.error().message.c_str());
  }
  for (auto _ : state) {
    if (const Result<void> finished = pass(); !finished) return state.SkipWithError(finished.error().message.c_str());
  }
  state.SetItemsProcessed(state.iterations() * n);
  state.SetBytesProcessed(state.iterations() * n * bytes_each);
}

// Blocks of random bits with scales of 0.01; floats of about 0.01 alike. A stretch of them, again and again.
std::vector<std::byte> random_weight(DType dtype, int64_t n_bytes) {
  const DTypeInfo& info = dtype_info(dtype);
  std::vector<std::byte> bytes(static_cast<size_t>(n_bytes));
  const size_t stretch = std::min(bytes.size(), size_t{4096} * info.block_bytes);
  std::mt19937 generator(2);
  for (size_t i = 0; i < stretch; ++i) {
    const auto bits = static_cast<uint8_t>(generator());
    // A float's last byte holds sign and exponent: 0x3c or 0xbc, a magnitude of 0.008 to 0.03 (of 1 to 2 in F16).
    const bool exponent = !is_quantized(dtype) && i % info.block_bytes == info.block_bytes - 1;
    bytes[i] = std::byte{exponent ? static_cast<uint8_t>(0x3c | (bits & 0x80)) : bits};
  }
  if (is_quantized(dtype)) {
    for (size_t at = 0; at < stretch; at += info.block_bytes) set_scales(dtype, bytes.data() + at, 0.01f, -0.07f);
  }
  for (size_t at = stretch; at < bytes.size(); at += stretch) {
    std::memcpy(bytes.data() + at, bytes.data(), std::min(stretch, bytes.size() - at));
  }
  return bytes;
}

void bench_matmul(benchmark::State& state, Backend& backend, DType dtype, int64_t n_rows, int64_t n_in, int64_t n_out) {
  const int64_t n_bytes = n_out * static_cast<int64_t>(row_bytes(dtype, static_cast<size_t>(n_in)));
  const int64_t n = n_rows == 1 ? copies_of(n_bytes) : 1;
  const std::vector<std::byte> bytes = random_weight(dtype, n * n_bytes);
  std::vector<PlacedWeight> weights;
  for (int64_t i = 0; i < n; ++i) {
    Result<PlacedWeight> placed = backend.place({dtype, Shape({n_out, n_in}), bytes.data() + i * n_bytes}, {});
    if (!placed) return state.SkipWithError(placed.error().message.c_str());
    weights.push_back(std::move(*placed));
  }
  OnBackend on(backend);
  const std::vector<float> values = random_floats(static_cast<size_t>(n_rows * n_in), 1);
  const Matrix<const float> x = on.matrix(values, n_rows, n_in);
  const Matrix<float> out = on.output(n_rows, n_out);
  time_passes(state, backend, n, n_bytes, [&](int64_t i) {
    const Product product{weights[static_cast<size_t>(i)].view, {}, out};
    backend.matmul(x, {&product, 1});
  });
  state.counters["FLOP/s"] = benchmark::Counter(2.0 * static_cast<double>(n_rows * n_in * n_out * n),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

enum class Level { kOff, kLight, kStandard };

// Causal attention of the last n_rows tokens of n_keys, keys and values in half precision, with what a level records.
void bench_attention(benchmark::State& state, Backend& backend, int64_t n_rows, int64_t n_keys, Level level) {
  constexpr int32_t kHeads = 32, kKvHeads = 8, kHeadSize = 128;
  const int64_t n_pages = (n_keys + kKvPageTokens - 1) / kKvPageTokens;
  const size_t page_values = size_t{kKvHeads} * kKvPageTokens * kHeadSize;
  std::vector<uint16_t> cache(2 * static_cast<size_t>(n_pages) * page_values);  // a layer: keys, then values
  const std::vector<float> random = random_floats(1'000'003, 1);                // a prime: pages differ
  for (size_t i = 0; i < cache.size(); ++i) cache[i] = f32_to_f16(random[i % random.size()]);
  const int64_t n_bytes = static_cast<int64_t>(cache.size() * sizeof(uint16_t));

  OnBackend on(backend);
  const int64_t n = n_rows == 1 ? copies_of(n_bytes) : 1;
  std::vector<std::vector<const std::byte*>> pages(static_cast<size_t>(2 * n));
  std::vector<KvPages> layers;
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t* at = on.input(std::span<const uint16_t>(cache));
    for (std::vector<const std::byte*>* kind :
         {&pages[static_cast<size_t>(2 * i)], &pages[static_cast<size_t>(2 * i) + 1]}) {
      for (int64_t page = 0; page < n_pages; ++page, at += page_values) {
        kind->push_back(reinterpret_cast<const std::byte*>(at));
      }
    }
    layers.push_back({pages[static_cast<size_t>(2 * i)], pages[static_cast<size_t>(2 * i) + 1]});
  }
  std::vector<AttentionRow> rows;
  for (int64_t r = 0; r < n_rows; ++r) rows.push_back({0, 0, n_keys - n_rows + r + 1});
  const std::vector<float> q = random_floats(static_cast<size_t>(n_rows) * kHeads * kHeadSize, 2);
  AttentionArgs args;
  args.q = on.matrix(q, n_rows, kHeads * kHeadSize);
  args.out = on.output(n_rows, kHeads * kHeadSize);
  args.rows = rows;
  args.n_heads = kHeads;
  args.n_kv_heads = kKvHeads;
  args.d_head_k = args.d_head_v = kHeadSize;
  args.scale = 1.0f / std::sqrt(static_cast<float>(kHeadSize));
  AttentionStats stats;
  if (level != Level::kOff) {
    for (StatSlot* slot : {&stats.entropy, &stats.first, &stats.previous, &stats.distance}) {
      *slot = on.slot(n_rows, kHeads);
    }
  }
  if (level == Level::kStandard) {
    stats.rest = on.slot(n_rows, kHeads);
    stats.top = on.slot(n_rows, kHeads * kAttentionTopKeys * 2);
    stats.n_mass_blocks = n_pages;
    stats.mass = on.slot(n_rows, kHeads * n_pages);
  }
  time_passes(state, backend, n, n_bytes, [&](int64_t i) {
    args.sequences = {&layers[static_cast<size_t>(i)], 1};
    backend.attention(args, stats);
  });
}

void bench_output_stats(benchmark::State& state, Backend& backend, int64_t vocab) {
  OnBackend on(backend);
  const std::vector<float> values = random_floats(static_cast<size_t>(vocab), 1, 4.0f);
  const Matrix<const float> logits = on.matrix(values, 1, vocab);
  OutputStats stats;
  stats.top = on.slot(1, 2 * kOutputTopMax);
  stats.entropy = on.slot(1, 1);
  stats.tail = on.slot(1, 1);
  time_passes(state, backend, 16, vocab * int64_t{sizeof(float)},
              [&](int64_t) { backend.output_stats(logits, stats); });
}

void bench_rms_norm(benchmark::State& state, Backend& backend, int64_t n_rows, int64_t n_cols) {
  OnBackend on(backend);
  const std::vector<float> values = random_floats(static_cast<size_t>(n_rows * n_cols), 1);
  const std::vector<float> factors = random_floats(static_cast<size_t>(n_cols), 2);
  const Matrix<const float> x = on.matrix(values, n_rows, n_cols);
  const TensorView weight{DType::kF32, Shape({n_cols}),
                          reinterpret_cast<const std::byte*>(on.input(std::span<const float>(factors)))};
  const Matrix<float> out = on.output(n_rows, n_cols);
  time_passes(state, backend, 64, 2 * n_rows * n_cols * int64_t{sizeof(float)},
              [&](int64_t) { backend.rms_norm(x, weight, 1e-5f, out); });
}

// What memory can do: bytes read and bytes written.
void bench_copy(benchmark::State& state, Backend& backend, int64_t n_bytes) {
  const auto from = backend.allocate(static_cast<size_t>(n_bytes)), to = backend.allocate(static_cast<size_t>(n_bytes));
  if (!from || !to) return state.SkipWithError((from ? to : from).error().message.c_str());
  time_passes(state, backend, 4, 2 * n_bytes,
              [&](int64_t) { backend.copy((*to)->data(), (*from)->data(), static_cast<size_t>(n_bytes)); });
}

std::string shape_text(std::initializer_list<int64_t> sizes) {
  std::string text;
  for (const int64_t size : sizes) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text;
}

template <typename Function, typename... Arguments>
void add(Backend& backend, const std::string& name, const Function& function, Arguments... arguments) {
  benchmark::RegisterBenchmark(
      (backend.name() + "/" + name).c_str(),
      [&backend, function, arguments...](benchmark::State& state) { function(state, backend, arguments...); })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void add_all(Backend& backend) {
  const bool on_device = backend.name() == "cuda";
  const int64_t copy_bytes = int64_t{on_device ? 1024 : 128} << 20;
  add(backend, "copy/" + std::to_string(copy_bytes) + "/I8", bench_copy, copy_bytes);
  const auto add_matmul = [&](DType dtype, int64_t n_rows, int64_t n_in, int64_t n_out) {
    add(backend, "matmul/" + shape_text({n_rows, n_in, n_out}) + "/" + std::string(dtype_name(dtype)), bench_matmul,
        dtype, n_rows, n_in, n_out);
  };
  for (const int64_t n_rows : {1, 512}) {
    for (const DType dtype : kWeightTypes) {
      add_matmul(dtype, n_rows, 4096, 4096);
      if (on_device || dtype == DType::kQ8_0) add_matmul(dtype, n_rows, 4096, 14336);
    }
  }
  if (on_device) add_matmul(DType::kF32, 4096, 4096, 14336);  // the library's own product
  const auto add_attention = [&](int64_t n_rows, int64_t n_keys) {
    const std::string name = "attention/" + shape_text({n_rows, n_keys}) + "/F16/";
    add(backend, name + "off", bench_attention, n_rows, n_keys, Level::kOff);
    add(backend, name + "light", bench_attention, n_rows, n_keys, Level::kLight);
    add(backend, name + "standard", bench_attention, n_rows, n_keys, Level::kStandard);
  };
  for (const int64_t n_keys : {1024, 8192, 32768}) add_attention(1, n_keys);
  add_attention(512, 4096);
  for (const int64_t vocab : {49152, 262144}) {
    add(backend, "output_stats/" + shape_text({1, vocab}) + "/F32", bench_output_stats, vocab);
  }
  for (const int64_t n_rows : {1, 512}) {
    add(backend, "rms_norm/" + shape_text({n_rows, 4096}) + "/F32", bench_rms_norm, n_rows, int64_t{4096});
  }
}

}  // namespace
}  // namespace orrery

int main(int argc, char** argv) {
  const char* threads = std::getenv("ORRERY_BENCH_THREADS");
  const auto cpu = orrery::make_cpu_backend(threads != nullptr ? std::max(1, std::atoi(threads)) : 0);
  benchmark::AddCustomContext("cpu", cpu->description());
  orrery::add_all(*cpu);
  const auto cuda = orrery::make_cuda_backend();
  benchmark::AddCustomContext("cuda", cuda ? (*cuda)->description() : cuda.error().message);
  if (cuda) orrery::add_all(**cuda);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
