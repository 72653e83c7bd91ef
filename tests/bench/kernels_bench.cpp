// Times the kernels on the shapes of SmolLM2-135M (d 576, ffn 1536, 9 heads over 3, vocabulary 49152).
// Rates: bytes/s counts weights (or keys and values) once per call, as memory must deliver them; `mac/s` products.
// --benchmark_filter=... picks; ORRERY_BENCH_THREADS sets the number of threads (default: usable cores);
// ORRERY_BENCH_CACHED=1 multiplies by the same weights again and again, so that caches deliver them;
// ORRERY_BENCH_TARGET=AVX2 (or another that Highway names) takes that instruction set instead of the machine's best.
#include <benchmark/benchmark.h>
#include <hwy/targets.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/attention.h"
#include "kernels/causal_conv.h"
#include "kernels/cpu_info.h"
#include "kernels/elementwise.h"
#include "kernels/fast_weights.h"
#include "kernels/matmul.h"
#include "kernels/matrix_state.h"
#include "kernels/output_stats.h"
#include "kernels/rms_norm.h"
#include "kernels/thread_pool.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

ThreadPool& pool() {
  const char* wanted = std::getenv("ORRERY_BENCH_THREADS");
  static ThreadPool shared(wanted != nullptr ? std::max(1, std::atoi(wanted)) : usable_cores());
  return shared;
}

// Blocks of random bytes with scales of 0.01; floats of 0.01 alike.
std::vector<std::byte> random_weight(DType dtype, int64_t n_rows, int64_t n_cols) {
  std::vector<std::byte> bytes(static_cast<size_t>(n_rows) * row_bytes(dtype, static_cast<size_t>(n_cols)));
  std::mt19937 generator(2);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator() & 0xffu);
  const DTypeInfo& info = dtype_info(dtype);
  for (size_t at = 0; at < bytes.size(); at += info.block_bytes) {
    if (is_quantized(dtype)) {
      set_scales(dtype, bytes.data() + at, 0.01f, -0.07f);
      continue;
    }
    for (size_t i = 0; i < info.block_bytes; i += 2) {  // f16, bf16, f32: all small numbers
      bytes[at + i] = std::byte{0x11};
      bytes[at + i + 1] = std::byte{0x21};
    }
  }
  return bytes;
}

// Weights of several layers in turn, so that no cache holds them from one call to the next.
void bench_matmul(benchmark::State& state, DType dtype, int64_t n_in, int64_t n_out, int64_t n_rows) {
  const int64_t n_bytes = n_out * static_cast<int64_t>(row_bytes(dtype, static_cast<size_t>(n_in)));
  const bool cached = n_rows > 8 || std::getenv("ORRERY_BENCH_CACHED") != nullptr;
  const int64_t n_copies = cached ? 1 : std::max<int64_t>(1, (64 << 20) / n_bytes);
  const std::vector<std::byte> bytes = random_weight(dtype, n_out * n_copies, n_in);
  const std::vector<float> x = random_floats(static_cast<size_t>(n_rows * n_in), 1);
  std::vector<float> out(static_cast<size_t>(n_rows * n_out));
  MatmulScratch scratch;
  int64_t copy = 0;
  for (auto _ : state) {
    const TensorView weight{dtype, Shape({n_out, n_in}), bytes.data() + copy * n_bytes};
    const MatmulTarget target{weight, {}, Matrix<float>(out.data(), n_rows, n_out)};
    matmul(Matrix<const float>(x.data(), n_rows, n_in), {&target, 1}, scratch, pool());
    copy = (copy + 1) % n_copies;
  }
  state.SetBytesProcessed(state.iterations() * n_bytes);
  state.counters["mac/s"] =
      benchmark::Counter(static_cast<double>(n_rows * n_in * n_out), benchmark::Counter::kIsIterationInvariantRate);
}

// Causal attention of the last n_rows tokens of n_keys, with the statistics of a recording level.
enum class Level { kOff, kLight, kStandard };

void bench_attention(benchmark::State& state, int64_t n_keys, int64_t n_rows, Level level) {
  constexpr int32_t kHeads = 9, kKvHeads = 3, kHeadSize = 64;
  const int64_t n_pages = (n_keys + kKvPageTokens - 1) / kKvPageTokens;
  const size_t page_bytes = row_bytes(DType::kF16, kKvHeads * kKvPageTokens * kHeadSize);
  std::vector<std::vector<std::byte>> pages(static_cast<size_t>(2 * n_pages), std::vector<std::byte>(page_bytes));
  std::vector<const std::byte*> keys, values;
  for (size_t i = 0; i < pages.size(); ++i) {
    const std::vector<float> filled = random_floats(page_bytes / 2, 1);
    for (size_t at = 0; at < filled.size(); ++at) {
      reinterpret_cast<uint16_t*>(pages[i].data())[at] = f32_to_f16(filled[at]);
    }
    (i % 2 == 0 ? keys : values).push_back(pages[i].data());
  }
  const std::vector<float> q = random_floats(static_cast<size_t>(n_rows * kHeads * kHeadSize), 1);
  std::vector<float> out(q.size());
  std::vector<AttentionRow> rows;
  for (int64_t r = 0; r < n_rows; ++r) rows.push_back({0, 0, n_keys - n_rows + r + 1});
  const KvPages sequence{keys, values};
  AttentionArgs args;
  args.q = Matrix<const float>(q.data(), n_rows, kHeads * kHeadSize);
  args.out = Matrix<float>(out.data(), n_rows, kHeads * kHeadSize);
  args.rows = rows;
  args.sequences = {&sequence, 1};
  args.n_heads = kHeads;
  args.n_kv_heads = kKvHeads;
  args.d_head_k = args.d_head_v = kHeadSize;
  args.scale = 0.125f;
  const int64_t width = kHeads * (5 + 64 + n_pages);
  std::vector<float> packed(static_cast<size_t>(n_rows * width));
  AttentionStats stats;
  float* at = packed.data();
  const auto slot = [&](int64_t per_head) {
    const StatSlot next{at, width};
    at += kHeads * per_head;
    return next;
  };
  if (level != Level::kOff) {
    stats.entropy = slot(1);
    stats.first = slot(1);
    stats.previous = slot(1);
    stats.distance = slot(1);
  }
  if (level == Level::kStandard) {
    stats.rest = slot(1);
    stats.top = slot(64);
    stats.n_mass_blocks = n_pages;
    stats.mass = slot(n_pages);
  }
  for (auto _ : state) attention(args, stats, pool());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(pages.size() * page_bytes));
}

// A layer's recurrence over n_rows tokens, with a decay per head, or per channel: of a head of one value (Mamba-1), or
// of one that erases by a pair (RWKV-7).
void bench_matrix_state(benchmark::State& state, MatrixStateSizes sizes, StateErase erase, int64_t n_rows,
                        Level level) {
  const int64_t keys = int64_t{sizes.n_groups} * sizes.d_key, values = int64_t{sizes.n_heads} * sizes.d_value;
  const std::vector<float> q = random_floats(static_cast<size_t>(n_rows * keys), 1, 0.1f);
  const std::vector<float> k = random_floats(q.size(), 2, 0.1f);
  const std::vector<float> v = random_floats(static_cast<size_t>(n_rows * values), 3);
  const bool by_pair = erase == StateErase::kPair;
  const int64_t n_rates = int64_t{sizes.n_heads} * (by_pair ? sizes.d_key : 1);
  const std::vector<float> rate(static_cast<size_t>(n_rows * n_rates), 0.05f);
  const bool by_channel = sizes.d_value == 1 && sizes.d_key > 1;
  const std::vector<float> log_decay(static_cast<size_t>(sizes.n_heads * (by_channel ? sizes.d_key : 1)), -1.0f);
  std::vector<float> out(v.size()), matrices(static_cast<size_t>(values * sizes.d_key));
  const int32_t n_stats = sizes.d_value == 1 ? 16 : sizes.n_heads;
  std::vector<float> packed(static_cast<size_t>(n_rows * n_stats * 7));
  const StateRows rows{0, n_rows, matrices.data()};
  MatrixStateArgs args;
  args.sizes = sizes;
  args.q = {q.data(), n_rows, keys};
  args.k = {k.data(), n_rows, keys};
  args.v = {v.data(), n_rows, values};
  args.decay = {.rate = {rate.data(), n_rows, n_rates}, .log_decay = log_decay};
  args.write = {rate.data(), n_rows, sizes.n_heads, n_rates};
  args.erase = erase;
  if (by_pair) args.erase_read = args.erase_write = args.k;
  args.out = {out.data(), n_rows, values};
  args.sequences = {&rows, 1};
  MatrixStateStats stats;
  if (level != Level::kOff) {
    const int64_t stride = 7 * n_stats;
    stats = {.n = n_stats,
             .norm = {packed.data(), stride},
             .write = {packed.data() + n_stats, stride},
             .erase = {packed.data() + 2 * n_stats, stride},
             .read = {packed.data() + 3 * n_stats, stride},
             .keep = {packed.data() + 4 * n_stats, stride}};
  }
  for (auto _ : state) matrix_state(args, stats, pool());
  state.SetItemsProcessed(state.iterations() * n_rows);
}

// A layer that learns from n_rows tokens.
void bench_fast_weights(benchmark::State& state, FastWeightsSizes sizes, int64_t n_rows, Level level) {
  const int64_t width = int64_t{sizes.n_heads} * sizes.d_head;
  const auto n = static_cast<size_t>(n_rows * width),
             n_weights = static_cast<size_t>(sizes.n_heads * sizes.n_weights());
  const std::vector<float> q = random_floats(n, 1, 0.3f), k = random_floats(n, 2, 0.3f), v = random_floats(n, 3, 0.3f);
  const std::vector<float> rate(static_cast<size_t>(n_rows * sizes.n_heads)), ones(static_cast<size_t>(width), 1.0f);
  const std::vector<float> share(static_cast<size_t>(sizes.batch_size), 0.1f),
      learned = random_floats(n_weights, 4, 0.02f);
  std::vector<float> out(n), fast(2 * n_weights), packed(rate.size() * 5);
  std::vector<int64_t> positions(static_cast<size_t>(n_rows));
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int64_t>(i);
  const StateRows rows{0, n_rows, fast.data()};
  FastWeightsArgs args;
  args.sizes = sizes;
  args.q = {q.data(), n_rows, width};
  args.k = {k.data(), n_rows, width};
  args.v = {v.data(), n_rows, width};
  args.rate = {rate.data(), n_rows, sizes.n_heads};
  args.share = share;
  args.learned = learned;
  args.norm_weight = args.norm_bias = ones;
  args.out = {out.data(), n_rows, width};
  args.positions = positions;
  args.sequences = {&rows, 1};
  FastWeightsStats stats;
  if (level != Level::kOff) {
    const int64_t h = sizes.n_heads, stride = 5 * h;
    float* const at = packed.data();
    stats = {{at, stride}, {at + h, stride}, {at + 2 * h, stride}, {at + 3 * h, stride}, {at + 4 * h, stride}};
  }
  for (auto _ : state) fast_weights(args, stats, pool());
  state.SetItemsProcessed(state.iterations() * n_rows);
}

void bench_causal_conv(benchmark::State& state, int64_t n_channels, int32_t n_taps, int64_t n_rows) {
  const std::vector<float> x = random_floats(static_cast<size_t>(n_rows * n_channels), 1);
  const std::vector<float> taps = random_floats(static_cast<size_t>(n_taps * n_channels), 2);
  std::vector<float> out(x.size()), kept(static_cast<size_t>((n_taps - 1) * n_channels));
  const StateRows rows{0, n_rows, kept.data()};
  const CausalConvArgs args{.x = {x.data(), n_rows, n_channels},
                            .taps = taps,
                            .bias = {},
                            .out = {out.data(), n_rows, n_channels},
                            .n_taps = n_taps,
                            .sequences = {&rows, 1}};
  for (auto _ : state) causal_conv(args, {}, pool());
  state.SetItemsProcessed(state.iterations() * n_rows);
}

void bench_output_stats(benchmark::State& state, int64_t vocab) {
  const std::vector<float> logits = random_floats(static_cast<size_t>(vocab), 1);
  float top[128], entropy = 0.0f, tail = 0.0f;
  OutputStats stats;
  stats.top = {top, 128};
  stats.entropy = {&entropy, 1};
  stats.tail = {&tail, 1};
  for (auto _ : state) output_stats(Matrix<const float>(logits.data(), 1, vocab), stats, pool());
  state.SetBytesProcessed(state.iterations() * vocab * 4);
}

void bench_small_operations(benchmark::State& state) {
  const std::vector<float> x = random_floats(1536, 1), weight = random_floats(1536, 1);
  std::vector<float> out(1536);
  for (auto _ : state) {
    rms_norm(Matrix<const float>(x.data(), 1, 576), {weight.data(), 576}, 1e-5f, Matrix<float>(out.data(), 1, 576),
             pool());
    add(Matrix<const float>(x.data(), 1, 576), Matrix<const float>(weight.data(), 1, 576), 1.0f,
        Matrix<float>(out.data(), 1, 576), pool());
    activate_multiply(Activation::kSilu, Matrix<const float>(x.data(), 1, 1536),
                      Matrix<const float>(weight.data(), 1, 1536), Matrix<float>(out.data(), 1, 1536), pool());
    benchmark::DoNotOptimize(out.data());
  }
}

void bench_empty_loop(benchmark::State& state) {
  for (auto _ : state) pool().parallel_for(pool().n_threads(), 1, [](int64_t, int64_t) {});
}

// False where the machine lacks the instruction set that is asked for.
bool choose_target() {
  const char* wanted = std::getenv("ORRERY_BENCH_TARGET");
  if (wanted == nullptr) return true;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (std::string_view(hwy::TargetName(target)) != wanted) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return true;
  }
  return false;
}

void register_all() {
  struct Layer {
    const char* name;
    int64_t n_in, n_out;
  };
  // SmolLM2's, and one of its size whose rows are whole blocks of 256 too.
  constexpr Layer kLayers[] = {
      {"qkv", 576, 960}, {"gate_up", 576, 3072}, {"down", 1536, 576}, {"head", 576, 49152}, {"square", 1024, 1024}};
  for (const int64_t n_rows : {1, 8, 256}) {
    for (const Layer& layer : kLayers) {
      for (const DType dtype : kWeightTypes) {
        if (layer.n_in % dtype_info(dtype).block_size != 0) continue;
        const std::string name = std::string("matmul/") + layer.name + "/" + std::to_string(n_rows) + "x" +
                                 std::to_string(layer.n_in) + "x" + std::to_string(layer.n_out) + "/" +
                                 std::string(dtype_name(dtype));
        benchmark::RegisterBenchmark(name.c_str(), bench_matmul, dtype, layer.n_in, layer.n_out, n_rows)->UseRealTime();
      }
    }
  }
  const auto add_attention = [](int64_t n_keys, int64_t n_rows) {
    const std::string name = "attention/" + std::to_string(n_rows) + "x" + std::to_string(n_keys) + "/F16/";
    benchmark::RegisterBenchmark((name + "off").c_str(), bench_attention, n_keys, n_rows, Level::kOff)->UseRealTime();
    benchmark::RegisterBenchmark((name + "light").c_str(), bench_attention, n_keys, n_rows, Level::kLight)
        ->UseRealTime();
    benchmark::RegisterBenchmark((name + "standard").c_str(), bench_attention, n_keys, n_rows, Level::kStandard)
        ->UseRealTime();
  };
  add_attention(64, 1);
  add_attention(300, 1);
  add_attention(2000, 1);
  add_attention(256, 256);
  struct Recurrence {
    const char* name;
    MatrixStateSizes sizes;
    StateErase erase;
  };
  constexpr Recurrence kRecurrences[] = {{"granite-350m-h", {48, 1, 128, 32}, StateErase::kNone},
                                         {"mamba-130m", {1536, 1, 16, 1}, StateErase::kNone},
                                         {"qwen3-next", {32, 16, 128, 128}, StateErase::kDelta},
                                         {"rwkv7-0.4b", {16, 16, 64, 64}, StateErase::kPair},
                                         {"recurrent-gemma-2b", {2560, 1, 1, 1}, StateErase::kNone}};
  for (const Recurrence& recurrence : kRecurrences) {
    for (const int64_t n_rows : {1, 512}) {
      const std::string name = std::string("matrix_state/") + recurrence.name + "/" + std::to_string(n_rows) + "/";
      benchmark::RegisterBenchmark((name + "off").c_str(), bench_matrix_state, recurrence.sizes, recurrence.erase,
                                   n_rows, Level::kOff)
          ->UseRealTime();
      benchmark::RegisterBenchmark((name + "light").c_str(), bench_matrix_state, recurrence.sizes, recurrence.erase,
                                   n_rows, Level::kLight)
          ->UseRealTime();
    }
  }
  struct FastLayer {
    const char* name;
    FastWeightsSizes sizes;
  };
  constexpr FastLayer kFastLayers[] = {{"ttt-linear-1b", {32, 64, 0, 16}}, {"ttt-mlp-1b", {32, 64, 256, 16}}};
  for (const FastLayer& layer : kFastLayers) {
    for (const int64_t n_rows : {1, 64}) {
      const std::string name = std::string("fast_weights/") + layer.name + "/" + std::to_string(n_rows) + "/";
      benchmark::RegisterBenchmark((name + "off").c_str(), bench_fast_weights, layer.sizes, n_rows, Level::kOff)
          ->UseRealTime();
      benchmark::RegisterBenchmark((name + "light").c_str(), bench_fast_weights, layer.sizes, n_rows, Level::kLight)
          ->UseRealTime();
    }
  }
  for (const int64_t n_rows : {1, 512}) {
    const std::string rows = std::to_string(n_rows);
    benchmark::RegisterBenchmark(("causal_conv/lfm2-350m/" + rows).c_str(), bench_causal_conv, 1024, 3, n_rows)
        ->UseRealTime();
    benchmark::RegisterBenchmark(("causal_conv/granite-350m-h/" + rows).c_str(), bench_causal_conv, 1792, 4, n_rows)
        ->UseRealTime();
  }
  benchmark::RegisterBenchmark("output_stats/1x49152/F32", bench_output_stats, 49152)->UseRealTime();
  benchmark::RegisterBenchmark("small_operations/1x576", bench_small_operations)->UseRealTime();
  benchmark::RegisterBenchmark("thread_pool/empty_loop", bench_empty_loop)->UseRealTime();
}

}  // namespace
}  // namespace orrery

int main(int argc, char** argv) {
  if (!orrery::choose_target()) return 2;
  benchmark::AddCustomContext("instruction_set", std::string(orrery::instruction_set()));
  benchmark::AddCustomContext("threads", std::to_string(orrery::pool().n_threads()));
  orrery::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
