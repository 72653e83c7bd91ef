// Models, Frames and runs made by hand, the same for the same arguments, so that what comes back from a file can be
// compared bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "probes/frame.h"
#include "probes/frame_bus.h"
#include "sessions/recorder.h"
#include "sessions/run_record.h"
#include "sessions/session_reader.h"

namespace orrery::testing {

inline ModelConfig llama_like(int32_t n_layers, int32_t n_heads) {
  ModelConfig config;
  config.architecture = "llama";
  config.d_model = n_heads * 64;
  config.vocab_size = 49152;
  config.context_length = 2048;
  config.norm_epsilon = 1e-5f;
  config.tied_embedding = true;
  for (int32_t i = 0; i < n_layers; ++i) {
    LayerConfig layer;
    layer.mixers = {MixerKind::kAttention};
    layer.attention = {
        .n_heads = n_heads, .n_kv_heads = 1, .d_head_k = 64, .d_head_v = 64, .scale = 0.125f, .window = 0, .rope = {}};
    for (int j = 0; j < 32; ++j) layer.attention.rope.inverse_frequencies.push_back(1.0f / static_cast<float>(1 + j));
    layer.d_ffn = n_heads * 170;
    config.layers.push_back(layer);
  }
  return config;
}

// A gated convolution, Mamba-1 with experts, attention beside Mamba-2: layers differ in heads, taps and experts.
inline ModelConfig hybrid_like() {
  ModelConfig config = llama_like(3, 3);
  config.architecture = "hybrid";
  config.layers[0].mixers = {MixerKind::kShortConv};
  config.layers[0].conv = {.n_taps = 3, .n_channels = 50, .is_gated = true};
  config.layers[1].mixers = {MixerKind::kMatrixState};
  config.layers[1].conv = {.n_taps = 4, .n_channels = 50, .is_gated = false};
  config.layers[1].state = {.recurrence = Recurrence::kMamba1,
                            .sizes = {.n_heads = 50, .n_groups = 1, .d_key = 6, .d_value = 1},
                            .n_stat_heads = 16};
  config.layers[1].feed_forward = FeedForwardKind::kMoe;
  config.layers[1].moe.router.n_experts = 7;
  config.layers[1].moe.router.n_chosen = 3;
  config.layers[2].mixers.push_back(MixerKind::kMatrixState);
  config.layers[2].state = {.recurrence = Recurrence::kMamba2,
                            .sizes = {.n_heads = 4, .n_groups = 2, .d_key = 6, .d_value = 5},
                            .n_stat_heads = 4};
  return config;
}

// Attention nowhere: keys are held by no layer.
inline ModelConfig mamba_like() {
  ModelConfig config = hybrid_like();
  config.layers = {config.layers[1], config.layers[1]};
  return config;
}

inline RunRecord make_record(const ModelConfig& config, Level level = Level::kStandard) {
  RunRecord record;
  record.model_name = "test model";
  record.fingerprint = "fingerprint of the test model";
  record.config = config;
  for (int32_t i = 0; i < config.n_layers(); ++i) record.layer_labels.push_back(std::to_string(i) + " attention");
  record.prompt.text = "Once upon";
  record.settings.schedule.level = level;
  record.settings.threads = 2;
  record.settings.kv = "f16";
  record.backend = "cpu";
  record.build = "test";
  return record;
}

inline uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// A number between 0 and 1, small ones likelier, as attention weights are.
inline float make_weight(uint64_t seed) {
  const float u = static_cast<float>(mix(seed) >> 40) * 0x1p-24f;
  return u * u * u;
}

inline Token make_token(int64_t step, int64_t time_ns = 0) {
  const std::string word = step % 7 == 3 ? std::string("\xf0\x9f", 2) : " w" + std::to_string(step);
  return {.step = step,
          .id = static_cast<int32_t>(mix(static_cast<uint64_t>(step)) % 49152),
          .bytes = word,
          .time_ns = time_ns,
          .segment = step < 4 ? Segment::kUser : Segment::kGenerated};
}

// A number of a probe's own. The sample session was made with these numbers: they stay.
inline uint64_t probe_number(const Probe& probe) {
  static constexpr const char* kFirst[] = {
      "residual.norm",    "attention.entropy", "attention.first", "attention.previous", "attention.distance",
      "attention.output", "attention.top",     "attention.rest",  "attention.mass",     "attention.row",
      "lens.top",         "output.top",        "output.entropy",  "output.tail",        "cache.bytes",
      "cache.entries",    "cache.evicted"};
  const auto found = std::ranges::find(kFirst, probe.name);
  if (found != std::end(kFirst)) return static_cast<uint64_t>(found - std::begin(kFirst)) + 1;
  uint64_t number = 0;
  for (const char c : probe.name) number = mix(number + static_cast<unsigned char>(c));
  return number;
}

// The values of steps [begin, end); the value of a step does not depend on the range.
inline Frame make_frame(const Probe& probe, const ModelConfig& config, int64_t run, int64_t begin, int64_t end) {
  Frame frame;
  frame.run = run;
  frame.probe = &probe;
  frame.step_begin = begin;
  frame.step_end = end;
  if (probe.has_layers()) frame.layers = probe.layers(config);
  frame.shape = {end - begin};
  if (probe.has_layers()) frame.shape.push_back(static_cast<int64_t>(frame.layers.size()));
  for (const int64_t size : probe.inner_shape(config, end)) frame.shape.push_back(size);
  const size_t n_each = probe.dtype == DType::kI64 ? 8 : 4;
  frame.payload_bytes = static_cast<size_t>(frame.n_values()) * n_each;
  auto memory = std::make_shared<std::byte[]>(frame.payload_bytes);
  const Axis last = probe.axes.back();
  const int64_t width = probe.axes.size() > 1 ? frame.shape.back() : 1;
  const int64_t n_step = frame.values_per_step();
  const uint64_t salt = mix(probe_number(probe));
  for (int64_t step = begin; step < end; ++step) {
    std::byte* to = memory.get() + static_cast<size_t>((step - begin) * n_step) * n_each;
    const int64_t n_seen = last == Axis::kKey ? step + 1 : last == Axis::kKeyBlock ? step / 64 + 1 : width;
    for (int64_t i = 0; i < n_step; ++i) {
      const int64_t row = i / width;
      const int64_t column = i % width;
      if (column >= n_seen) continue;  // zero: the row does not see it
      const uint64_t seed = salt ^ mix(static_cast<uint64_t>(step * 1'000'003 + row * 1009 + column));
      std::byte* value = to + static_cast<size_t>(i) * n_each;
      if (probe.dtype == DType::kF32) {
        const bool id = last == Axis::kField && column == 0;
        const float x = id ? static_cast<float>(mix(seed) % static_cast<uint64_t>(step + 1)) : make_weight(seed);
        std::memcpy(value, &x, sizeof x);
      } else if (probe.dtype == DType::kI32) {
        const auto x = static_cast<int32_t>(step + 1);
        std::memcpy(value, &x, sizeof x);
      } else {
        const int64_t x = column == 0 ? (step / 64 + 1) * 64 * 512 : 0;
        std::memcpy(value, &x, sizeof x);
      }
    }
  }
  frame.payload = std::shared_ptr<const std::byte>(memory, memory.get());
  return frame;
}

// As a model's Frames come: weights that are bulky are multiples of a step.
inline Frame rounded(Frame frame) {
  const int bits = frame.probe->fraction_bits;
  if (bits == 0) return frame;
  auto memory = std::make_shared<std::byte[]>(frame.payload_bytes);
  std::memcpy(memory.get(), frame.payload.get(), frame.payload_bytes);
  round_to_multiples({reinterpret_cast<float*>(memory.get()), frame.payload_bytes / sizeof(float)}, bits);
  frame.payload = std::shared_ptr<const std::byte>(memory, memory.get());
  return frame;
}

inline std::vector<const Probe*> probes_of(Level level, const ModelConfig& config) {
  std::vector<const Probe*> probes;
  for (const Probe* probe : offered_probes(config)) {
    if (probe->level <= level) probes.push_back(probe);
  }
  return probes;
}

// What the engine publishes after steps [begin, end): their tokens and Frames.
inline SharedBatch make_batch(const ModelConfig& config, Level level, int64_t run, int64_t begin, int64_t end,
                              int64_t time_ns = 0) {
  auto batch = std::make_shared<FrameBatch>();
  batch->run = run;
  for (int64_t step = begin; step < end; ++step) batch->tokens.push_back(make_token(step, time_ns));
  for (const Probe* probe : probes_of(level, config)) {
    batch->frames.push_back(make_frame(*probe, config, run, begin, end));
  }
  batch->count_bytes();
  return batch;
}

inline bool same_values(const Frame& a, const Frame& b) {
  return a.run == b.run && a.probe == b.probe && a.step_begin == b.step_begin && a.step_end == b.step_end &&
         a.layers == b.layers && a.heads == b.heads && a.shape == b.shape && a.payload_bytes == b.payload_bytes &&
         std::memcmp(a.payload.get(), b.payload.get(), a.payload_bytes) == 0;
}

// The steps of a probe that come back as they were made, counted; a frame that differs fails the test.
inline int64_t count_whole_steps(SessionReader& reader, const Probe& probe, const ModelConfig& config, int64_t run) {
  int64_t n_steps = 0;
  const auto done = reader.for_each_frame(probe, run, 0, kAllSteps, 0, [&](const Frame& frame) {
    EXPECT_TRUE(same_values(frame, make_frame(probe, config, run, frame.step_begin, frame.step_end)))
        << probe.name << " at step " << frame.step_begin;
    n_steps += frame.n_steps();
    return true;
  });
  EXPECT_TRUE(done) << done.error().message;
  return n_steps;
}

// A folder that goes away with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "orrery-sessions-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::shared_ptr<FrameRing> make_ring() { return std::make_shared<FrameRing>(256, size_t{64} << 20); }

// Records steps [0, n_prompt) in one batch and each further one in its own, up to n_steps, and closes the file.
inline int64_t record_run(const std::string& path, const ModelConfig& config, Level level, int64_t n_prompt,
                          int64_t n_steps, int64_t ns_per_step = 1'000'000) {
  const auto ring = make_ring();
  auto recorder = Recorder::start(path, ring);
  EXPECT_TRUE(recorder) << recorder.error().message;
  if (!recorder) return 0;
  const auto run = (*recorder)->begin_run(make_record(config, level));
  EXPECT_TRUE(run) << run.error().message;
  if (!run) return 0;
  if (n_prompt > 0) ring->push_within(make_batch(config, level, *run, 0, n_prompt), std::chrono::seconds(5));
  for (int64_t step = n_prompt; step < n_steps; ++step) {
    ring->push_within(make_batch(config, level, *run, step, step + 1, (step - n_prompt + 1) * ns_per_step),
                      std::chrono::seconds(5));
  }
  const auto ended = (*recorder)->end_run(RunEnd::kComplete);
  EXPECT_TRUE(ended) << ended.error().message;
  const auto closed = (*recorder)->close();
  EXPECT_TRUE(closed) << closed.error().message;
  return *run;
}

}  // namespace orrery::testing
