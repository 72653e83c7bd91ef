// A long recording of a made-up model, for tests and benchmarks: attention, Mamba-2 and experts in layers of one shape.
// Values are smooth over steps with noise on top, follow from (probe, step, layer, head) alone, and go through the real
// recorder.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "probes/frame.h"
#include "probes/model_axes.h"
#include "sessions/recorder.h"

namespace orrery::bench {

struct LongSession {
  int64_t n_tokens = 32768;
  int32_t n_layers = 32;
  int32_t n_heads = 32;
  int32_t n_experts = 64;       // 0: none
  int32_t attention_every = 4;  // layers 3, 7, ... attend, the others are Mamba-2; 1: all attend; 0: none
  Level level = Level::kLight;
};

inline ModelConfig long_config(const LongSession& shape) {
  ModelConfig config;
  config.architecture = "made-up hybrid";
  config.d_model = shape.n_heads * 64;
  config.vocab_size = 49152;
  config.context_length = static_cast<int32_t>(shape.n_tokens);
  config.norm_epsilon = 1e-5f;
  for (int32_t i = 0; i < shape.n_layers; ++i) {
    LayerConfig layer;
    const bool attends = shape.attention_every > 0 && (i + 1) % shape.attention_every == 0;
    if (attends) {
      layer.mixers = {MixerKind::kAttention};
      layer.attention.n_heads = shape.n_heads;
      layer.attention.n_kv_heads = std::max(shape.n_heads / 4, 1);
      layer.attention.d_head_k = layer.attention.d_head_v = 64;
      layer.attention.scale = 0.125f;
    } else {
      layer.mixers = {MixerKind::kMatrixState};
      layer.conv = {.n_taps = 4, .n_channels = shape.n_heads * 64, .is_gated = false};
      layer.state = {.recurrence = Recurrence::kMamba2,
                     .sizes = {.n_heads = shape.n_heads, .n_groups = 1, .d_key = 64, .d_value = 64},
                     .n_stat_heads = shape.n_heads};
    }
    layer.d_ffn = shape.n_heads * 128;
    if (shape.n_experts > 0) {
      layer.feed_forward = FeedForwardKind::kMoe;
      layer.moe.router.n_experts = shape.n_experts;
      layer.moe.router.n_chosen = std::min(8, shape.n_experts);
    }
    layer.index = i;
    config.layers.push_back(layer);
  }
  return config;
}

inline RunRecord long_record(const LongSession& shape) {
  RunRecord record;
  record.model_name = "made-up " + std::to_string(shape.n_layers) + " x " + std::to_string(shape.n_heads);
  record.fingerprint = record.model_name;
  record.config = long_config(shape);
  for (int32_t i = 0; i < shape.n_layers; ++i) record.layer_labels.push_back(layer_label(record.config, i));
  record.prompt.text = "Once upon a time";
  record.settings.schedule.level = shape.level;
  record.settings.threads = 1;
  record.settings.kv = "f16";
  record.backend = "cpu";
  record.build = "made up";
  return record;
}

// Noise in [0, 1), a new number each time.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 0x1234567) {
    for (int i = 0; i < 3; ++i) next();
  }
  float next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<float>(state_ >> 40) * 0x1p-24f;
  }

 private:
  uint64_t state_;
};

// Between 0 and 1, slowly up and down, each place at a pace of its own.
inline float wave(int64_t step, int64_t place) {
  const auto period = static_cast<float>(200 + place * 37 % 1900);
  const float phase = static_cast<float>(step + place * 61) / period;
  return std::abs(2 * (phase - std::floor(phase)) - 1);
}

inline Token long_token(int64_t step) {
  static constexpr const char* kWords[] = {" the", " river", " of",  " stone", " and",
                                           ",",    " light", " was", " over",  "\n"};
  const auto word = static_cast<size_t>((step * 7 + step / 11) % 10);
  return {.step = step,
          .id = static_cast<int32_t>(word),
          .bytes = kWords[word],
          .time_ns = step * 20'000'000,
          .segment = step < 64 ? Segment::kUser : Segment::kGenerated};
}

// Weights that sum to about 1: a sink, the neighbourhood, and noise everywhere.
inline void fill_mass(float* to, int64_t n, Noise& noise) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float u = noise.next();
    to[i] = u * u * u * (0.2f + 4.0f / static_cast<float>(n - i));
    sum += to[i];
  }
  to[0] += 0.5f * sum;
  for (int64_t i = 0; i < n; ++i) to[i] /= 1.5f * sum;
}

inline void fill_top(float* to, int64_t n_pairs, int64_t step, Noise& noise) {
  float weight = 0.4f;
  for (int64_t j = 0; j < n_pairs; ++j) {
    const auto key = step - j * (j + 3) - static_cast<int64_t>(noise.next() * 3);
    to[2 * j] = key < 0 ? -1.0f : static_cast<float>(key);
    to[2 * j + 1] = key < 0 ? 0.0f : weight;
    weight *= 0.7f + 0.25f * noise.next();
  }
}

inline void fill_row(const Probe& probe, const ModelConfig& config, int64_t step, std::span<float> row, Noise& noise) {
  const auto n = static_cast<int64_t>(row.size());
  if (probe.has_axis(Axis::kKeyBlock)) {
    const int64_t n_blocks = step / 64 + 1;
    for (int64_t at = 0; at < n; at += n_blocks) fill_mass(row.data() + at, n_blocks, noise);
  } else if (probe.has_axis(Axis::kTop)) {
    const int64_t list = probe.name == "output.top" ? n : 64;
    for (int64_t at = 0; at < n; at += list) fill_top(row.data() + at, list / 2, step, noise);
    for (int64_t i = 0; probe.name == "output.top" && i < n; i += 2) {  // ids, and logarithms
      row[static_cast<size_t>(i)] = static_cast<float>(i / 2);
      row[static_cast<size_t>(i + 1)] = std::log(row[static_cast<size_t>(i + 1)] + 1e-6f) - 0.5f;
    }
  } else {
    const float scale = probe.name == "attention.distance" ? static_cast<float>(step + 1) * 0.5f : 1.0f;
    for (int64_t i = 0; i < n; ++i) row[static_cast<size_t>(i)] = scale * (0.8f * wave(step, i) + 0.2f * noise.next());
  }
  (void)config;
}

// One probe at one step, as the engine publishes it: rounded where it rounds.
inline Frame long_frame(const Probe& probe, const ModelConfig& config, int64_t run, int64_t step) {
  Frame frame;
  frame.run = run;
  frame.probe = &probe;
  frame.step_begin = step;
  frame.step_end = step + 1;
  frame.shape = {1};
  if (probe.has_layers()) frame.layers = probe.layers(config);
  if (probe.has_layers()) frame.shape.push_back(static_cast<int64_t>(frame.layers.size()));
  for (const int64_t size : probe.inner_shape(config, step + 1)) frame.shape.push_back(size);
  const auto n = static_cast<size_t>(frame.n_values());
  const size_t value_bytes = probe.dtype == DType::kI64 ? 8 : 4;
  frame.payload_bytes = n * value_bytes;
  const std::shared_ptr<std::byte[]> memory = std::make_shared_for_overwrite<std::byte[]>(frame.payload_bytes);
  Noise noise(static_cast<uint64_t>(step) * 64 + static_cast<uint64_t>(probe.quantity));
  if (probe.dtype == DType::kF32) {
    const std::span<float> row(reinterpret_cast<float*>(memory.get()), n);
    fill_row(probe, config, step, row, noise);
    if (probe.fraction_bits > 0) round_to_multiples(row, probe.fraction_bits);
  } else if (probe.dtype == DType::kI32) {
    auto* row = reinterpret_cast<int32_t*>(memory.get());
    const bool chosen = probe.has_axis(Axis::kChosen);
    const int64_t n_chosen = chosen ? frame.shape.back() : 1;
    const int64_t n_experts = chosen ? config.layers.front().moe.router.n_experts : 1;
    for (size_t i = 0; i < n; ++i) {
      const auto at = static_cast<int64_t>(i);
      // Experts apart from each other; what a cache holds grows with the text.
      row[i] = static_cast<int32_t>(
          chosen ? (at % n_chosen * (n_experts / n_chosen) +
                    static_cast<int64_t>(noise.next() * static_cast<float>(n_experts / n_chosen))) %
                       n_experts
          : probe.name == "cache.evicted" ? 0
                                          : step + 1);
    }
  } else {
    auto* row = reinterpret_cast<int64_t*>(memory.get());
    const int64_t n_components = frame.shape.back();
    for (size_t i = 0; i < n; ++i) {
      const bool attends = config.layers[i / static_cast<size_t>(n_components)].has(MixerKind::kAttention);
      const int64_t component = static_cast<int64_t>(i) % n_components;
      row[i] = component == 0 ? (attends ? (step / 64 + 1) * 64 * 2048 : 0) : component == 1 && !attends ? 524288 : 0;
    }
  }
  frame.payload = std::shared_ptr<const std::byte>(memory, memory.get());
  return frame;
}

inline SharedBatch long_batch(const LongSession& shape, const ModelConfig& config, int64_t run, int64_t step) {
  auto batch = std::make_shared<FrameBatch>();
  batch->run = run;
  batch->tokens.push_back(long_token(step));
  for (const Probe* probe : offered_probes(config)) {
    if (probe->level <= shape.level) batch->frames.push_back(long_frame(*probe, config, run, step));
  }
  batch->count_bytes();
  return batch;
}

// Records it into a new session. The error where the disk is full, for instance.
inline Result<void> record_long_session(const std::string& path, const LongSession& shape) {
  const auto ring = std::make_shared<FrameRing>(256, size_t{64} << 20);
  ORRERY_ASSIGN_OR_RETURN(const auto recorder, Recorder::start(path, ring));
  const RunRecord record = long_record(shape);
  ORRERY_ASSIGN_OR_RETURN(const int64_t run, recorder->begin_run(record));
  for (int64_t step = 0; step < shape.n_tokens; ++step) {
    const SharedBatch batch = long_batch(shape, record.config, run, step);
    while (!ring->push_within(batch, std::chrono::seconds(30))) {
      if (recorder->status().failure) return *recorder->status().failure;
    }
  }
  ORRERY_RETURN_IF_ERROR(recorder->end_run(RunEnd::kComplete));
  return recorder->close();
}

}  // namespace orrery::bench
