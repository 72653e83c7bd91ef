#include "tests/views/mixer_run.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "probes/model_axes.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kLayers = 4;

// A number in [0, 1) that depends on its arguments only.
float noise(uint32_t seed, int64_t a, int64_t b = 0, int64_t c = 0, int64_t d = 0) {
  uint32_t h = 2166136261u ^ (seed * 2654435761u);
  for (const int64_t x : {a, b, c, d}) {
    h = (h ^ static_cast<uint32_t>(x)) * 16777619u;
    h ^= h >> 13;
    h *= 0x85EBCA6Bu;
  }
  return static_cast<float>((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0f;
}

LayerConfig layer_of(int32_t layer) {
  LayerConfig config;
  if (layer == 0) {
    config.mixers = {MixerKind::kShortConv};
    config.conv = {.n_taps = 3, .n_channels = 20, .is_gated = true};
  }
  if (layer == 1 || layer == 3) {
    config.mixers.push_back(MixerKind::kAttention);
    config.attention.n_heads = layer == 1 ? 2 : 4;
    config.attention.n_kv_heads = 1;
    config.attention.window = layer == 1 ? MixerRun::kWindow : 0;
  }
  if (layer >= 2) {
    config.mixers.push_back(MixerKind::kMatrixState);
    config.state.recurrence = Recurrence::kMamba2;
    config.state.sizes = {.n_heads = 3, .n_groups = 1, .d_key = 4, .d_value = 4};
    config.state.n_stat_heads = 3;
    config.conv = {.n_taps = 4, .n_channels = 20, .is_gated = false};
  }
  return config;
}

}  // namespace

RunInfo MixerRun::info() const {
  RunInfo info;
  info.model_name = "every mixer";
  info.level = "full";
  info.config.architecture = "hybrid";
  info.config.vocab_size = 48;
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    info.config.layers.push_back(layer_of(layer));
    info.layer_labels.push_back(layer_label(info.config, layer));
  }
  return info;
}

float MixerRun::tap(int64_t step, int32_t layer, int32_t tap) const {
  const int32_t back = layer_of(layer).conv.n_taps - 1 - tap;
  return step < back ? 0.0f : 0.1f + noise(seed, 31, step, layer, tap);
}

float MixerRun::gate(int64_t step, bool is_in) const { return 0.5f + noise(seed, is_in ? 32 : 33, step); }

std::vector<float> MixerRun::weights(int64_t step, int32_t layer, int32_t head) const {
  const int64_t window = layer_of(layer).attention.window;
  std::vector<float> w(static_cast<size_t>(step + 1), 0.0f);
  float sum = 0;
  for (int64_t key = window > 0 ? std::max<int64_t>(step - window + 1, 0) : 0; key <= step; ++key) {
    w[static_cast<size_t>(key)] = 0.05f + noise(seed, 34 + layer, head, step, key);
    sum += w[static_cast<size_t>(key)];
  }
  for (float& one : w) one /= sum;
  return w;
}

float MixerRun::implied_weight(int64_t step, int32_t layer, int32_t head, int64_t key) const {
  return 2 * noise(seed, 41 + layer, head, step, key) - 1;
}

int32_t MixerRun::lens_id(int64_t step, int32_t layer, int32_t place) const {
  const auto first = static_cast<int32_t>(noise(seed, 51, step, layer) * 48);
  return (first + 5 * place) % 48;
}

float MixerRun::lens_probability(int64_t step, int32_t layer, int32_t place) const {
  return (0.1f + 0.8f * noise(seed, 52, step, layer)) / static_cast<float>((place + 1) * (place + 1));
}

FrameBatch MixerRun::batch(int64_t step) const {
  const ModelConfig config = info().config;
  FrameBatch batch;
  batch.tokens = {SampleRun{}.token(step), SampleRun{}.token(step + 1)};
  const auto inner_of = [&](const char* name) { return find_probe(name)->inner_shape(config, step + 1); };
  const auto add = [&](const char* name, const auto& values_of) {
    std::vector<float> values;
    const std::vector<int64_t> inner = inner_of(name);
    for (const int32_t layer : find_probe(name)->layers(config)) values_of(layer, inner, values);
    batch.frames.push_back(make_frame(name, step, find_probe(name)->layers(config), inner, values, origin));
  };
  using Inner = std::vector<int64_t>;
  using Values = std::vector<float>;
  add("conv.taps", [&](int32_t layer, const Inner& inner, Values& values) {
    const int32_t n = conv_taps_in(config.layers[static_cast<size_t>(layer)]);
    for (int32_t i = 0; i < inner[0]; ++i) values.push_back(i < n ? tap(step, layer, i) : kNan);
  });
  add("conv.gate_in", [&](int32_t, const Inner&, Values& values) { values.push_back(gate(step, true)); });
  add("conv.gate_out", [&](int32_t, const Inner&, Values& values) { values.push_back(gate(step, false)); });
  // Heads of attention, padded to the most that a layer has.
  const auto each_head = [&](const char* name, const auto& of_head) {
    add(name, [&](int32_t layer, const Inner& inner, Values& values) {
      const size_t width =
          static_cast<size_t>(std::accumulate(inner.begin() + 1, inner.end(), int64_t{1}, std::multiplies<>()));
      for (int32_t head = 0; head < inner[0]; ++head) {
        Values one;
        if (head < config.layers[static_cast<size_t>(layer)].attention.n_heads)
          of_head(weights(step, layer, head), one);
        one.resize(width, 0.0f);
        values.insert(values.end(), one.begin(), one.end());
      }
    });
  };
  if (exact) {
    each_head("attention.row", [](const Values& w, Values& out) { out = w; });
  } else {
    each_head("attention.mass", [](const Values& w, Values& out) {
      out.resize((w.size() + 63) / 64, 0.0f);
      for (size_t key = 0; key < w.size(); ++key) out[key / 64] += w[key];
    });
    each_head("attention.top", [](const Values& w, Values& out) {
      std::vector<size_t> order(w.size());
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, [&](size_t a, size_t b) { return w[a] > w[b]; });
      for (size_t i = 0; i < 32; ++i) {
        const bool there = i < order.size() && w[order[i]] > 0;
        out.push_back(there ? static_cast<float>(order[i]) : -1.0f);
        out.push_back(there ? w[order[i]] : 0.0f);
      }
    });
    each_head("attention.rest", [](const Values& w, Values& out) {
      Values sorted = w;
      std::ranges::sort(sorted, std::greater<>());
      out = {std::accumulate(sorted.begin() + std::min<std::ptrdiff_t>(32, std::ssize(sorted)), sorted.end(), 0.0f)};
    });
  }
  if (implied) {
    add("state.row", [&](int32_t layer, const Inner& inner, Values& values) {
      for (int32_t head = 0; head < inner[0]; ++head) {
        for (int64_t key = 0; key < inner[1]; ++key) values.push_back(implied_weight(step, layer, head, key));
      }
    });
    batch.frames.back().origin = Origin::kRecomputed;
  }
  if (lens) {
    add("lens.top", [&](int32_t layer, const Inner&, Values& values) {
      for (int32_t place = 0; place < kLensTop; ++place) {
        values.push_back(static_cast<float>(lens_id(step, layer, place)));
        values.push_back(lens_probability(step, layer, place));
      }
    });
  }
  return batch;
}

FrameHistory MixerRun::history(int64_t n_steps) const {
  FrameHistory history;
  history.reset(info());
  for (int64_t step = 0; step < n_steps; ++step) history.add_batch(batch(step));
  return history;
}

}  // namespace orrery
