#include "tests/views/sample_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <numeric>

#include "views/scene.h"

namespace orrery {
namespace {

constexpr std::array<const char*, 48> kWords{
    " The",   " old",   " clock", "maker",   " lived", " above", " a",    " small",   " shop",  " near",
    " the",   " river", ",",      " where",  " every", " even",  "ing",   " he",      " wound", " the",
    " gears", " of",    " an",    " or",     "rery",   ".",      " The",  " plan",    "ets",    " turned",
    " slow",  "ly",     " ,",     " and",    " the",   " boy",   " who",  " watch",   "ed",     " him",
    " asked", " why",   " Mars",  " paused", "?",      "\n",     " \"It", " waits.\""};

// A number in [0, 1) that depends on its arguments only.
float noise(uint32_t a, uint32_t b = 0, uint32_t c = 0, uint32_t d = 0) {
  uint32_t h = 2166136261u;
  for (const uint32_t x : {a, b, c, d}) {
    h = (h ^ x) * 16777619u;
    h ^= h >> 13;
    h *= 0x85EBCA6Bu;
  }
  return static_cast<float>((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0f;
}

template <typename T>
Frame make(const char* name, int64_t step, std::vector<int32_t> layers, std::vector<int64_t> inner,
           const std::vector<T>& values, Origin origin) {
  Frame frame;
  frame.probe = find_probe(name);
  CHECK(frame.probe != nullptr, name);
  frame.step_begin = step;
  frame.step_end = step + 1;
  frame.shape = {1};
  if (!layers.empty()) frame.shape.push_back(static_cast<int64_t>(layers.size()));
  frame.shape.insert(frame.shape.end(), inner.begin(), inner.end());
  frame.layers = std::move(layers);
  frame.origin = origin;
  frame.payload_bytes = values.size() * sizeof(T);
  CHECK(frame.n_values() == static_cast<int64_t>(values.size()), name);
  const std::shared_ptr<std::byte[]> bytes(new std::byte[std::max<size_t>(frame.payload_bytes, 1)]);
  std::memcpy(bytes.get(), values.data(), frame.payload_bytes);
  frame.payload = std::shared_ptr<const std::byte>(bytes, bytes.get());
  return frame;
}

}  // namespace

Frame make_frame(const char* probe, int64_t step, std::vector<int32_t> layers, std::vector<int64_t> inner,
                 const std::vector<float>& values, Origin origin) {
  return make(probe, step, std::move(layers), std::move(inner), values, origin);
}
Frame make_frame_i64(const char* probe, int64_t step, std::vector<int32_t> layers, std::vector<int64_t> inner,
                     const std::vector<int64_t>& values) {
  return make(probe, step, std::move(layers), std::move(inner), values, Origin::kLive);
}
Frame make_frame_i32(const char* probe, int64_t step, std::vector<int32_t> layers, std::vector<int64_t> inner,
                     const std::vector<int32_t>& values) {
  return make(probe, step, std::move(layers), std::move(inner), values, Origin::kLive);
}

std::string SampleTexts::bytes(int32_t id) const {
  return id >= 0 && id < static_cast<int32_t>(kWords.size()) ? kWords[static_cast<size_t>(id)] : "";
}

RunInfo SampleRun::info() const {
  RunInfo info;
  info.model_name = "sample";
  info.backend = "cpu";
  info.level = "standard";
  info.config.architecture = "llama";
  info.config.vocab_size = static_cast<int64_t>(kWords.size());
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    LayerConfig config;
    config.mixers = {MixerKind::kAttention};
    config.attention.n_heads = n_heads;
    config.attention.n_kv_heads = 1;
    info.config.layers.push_back(config);
    info.layer_labels.push_back(std::to_string(layer) + " attention");
  }
  return info;
}

Token SampleRun::token(int64_t step) const {
  Token token;
  token.step = step;
  token.id = static_cast<int32_t>(step % static_cast<int64_t>(kWords.size()));
  token.bytes = kWords[static_cast<size_t>(token.id)];
  token.segment = step < n_prompt ? Segment::kUser : Segment::kGenerated;
  return token;
}

std::vector<float> SampleRun::weights(int64_t step, int32_t layer, int32_t head) const {
  const auto n = static_cast<size_t>(step + 1);
  std::vector<float> w(n);
  const auto l = static_cast<uint32_t>(layer);
  const auto h = static_cast<uint32_t>(head);
  const float sink = 3.0f * noise(l, h, 1);
  const float previous = 3.5f * noise(l, h, 2);
  const float repeat = 4.0f * noise(l, h, 3);
  const float reach = 4.0f + 120.0f * noise(l, h, 4);
  for (size_t key = 0; key < n; ++key) {
    const auto back = static_cast<float>(n - 1 - key);
    float score = 1.5f * noise(l, h, static_cast<uint32_t>(step), static_cast<uint32_t>(key)) - back / reach;
    if (key == 0) score = std::max(score, -1.0f) + sink + 2.0f;
    if (back == 1) score += previous;
    if (back > 0 && static_cast<size_t>(back) % kWords.size() == 0) score += repeat + back / reach * 0.8f;
    w[key] = std::exp(score);
  }
  const float sum = std::accumulate(w.begin(), w.end(), 0.0f);
  for (float& one : w) one /= sum;
  return w;
}

FrameBatch SampleRun::batch(int64_t step) const {
  FrameBatch batch;
  batch.tokens = {token(step), token(step + 1)};
  std::vector<int32_t> layers(static_cast<size_t>(n_layers));
  std::iota(layers.begin(), layers.end(), 0);
  const int64_t n_keys = step + 1;
  const int64_t n_blocks = (n_keys + 63) / 64;
  std::vector<float> rows, top, rest, mass, entropy, first, previous, distance, output, norm;
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    norm.push_back(20.0f + 3.0f * static_cast<float>(layer) +
                   8.0f * noise(7, static_cast<uint32_t>(layer), static_cast<uint32_t>(step)));
    for (int32_t head = 0; head < n_heads; ++head) {
      const std::vector<float> w = weights(step, layer, head);
      if (step < exact_steps) rows.insert(rows.end(), w.begin(), w.end());
      std::vector<int32_t> order(w.size());
      std::iota(order.begin(), order.end(), 0);
      const auto n_top = static_cast<std::ptrdiff_t>(std::min<size_t>(32, w.size()));
      std::partial_sort(order.begin(), order.begin() + n_top, order.end(), [&](int32_t a, int32_t b) {
        return w[static_cast<size_t>(a)] != w[static_cast<size_t>(b)]
                   ? w[static_cast<size_t>(a)] > w[static_cast<size_t>(b)]
                   : a < b;
      });
      float in_top = 0;
      for (int i = 0; i < 32; ++i) {
        const bool there = i < n_top;
        const float weight = there ? w[static_cast<size_t>(order[static_cast<size_t>(i)])] : 0.0f;
        top.push_back(there ? static_cast<float>(order[static_cast<size_t>(i)]) : -1.0f);
        top.push_back(weight);
        in_top += weight;
      }
      rest.push_back(std::max(0.0f, 1 - in_top));
      std::vector<float> blocks(static_cast<size_t>(n_blocks), 0.0f);
      float h = 0, d = 0;
      for (size_t key = 0; key < w.size(); ++key) {
        blocks[key / 64] += w[key];
        if (w[key] > 0) h -= w[key] * std::log(w[key]);
        d += w[key] * static_cast<float>(w.size() - 1 - key);
      }
      mass.insert(mass.end(), blocks.begin(), blocks.end());
      entropy.push_back(h);
      first.push_back(
          std::accumulate(w.begin(), w.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(4, w.size())), 0.0f));
      previous.push_back(w.size() > 1 ? w[w.size() - 2] : 0.0f);
      distance.push_back(d);
      output.push_back(
          0.5f + noise(9, static_cast<uint32_t>(layer), static_cast<uint32_t>(head), static_cast<uint32_t>(step)));
    }
  }
  const int64_t nh = n_heads;
  const auto add = [&](const char* name, std::vector<int64_t> inner, const std::vector<float>& values) {
    batch.frames.push_back(make_frame(name, step, layers, std::move(inner), values, origin));
  };
  if (step < exact_steps) add("attention.row", {nh, n_keys}, rows);
  add("attention.top", {nh, 32, 2}, top);
  add("attention.rest", {nh}, rest);
  add("attention.mass", {nh, n_blocks}, mass);
  add("attention.entropy", {nh}, entropy);
  add("attention.first", {nh}, first);
  add("attention.previous", {nh}, previous);
  add("attention.distance", {nh}, distance);
  add("attention.output", {nh}, output);
  add("residual.norm", {}, norm);

  const float sharp = 0.4f + 2.4f * noise(11, static_cast<uint32_t>(step));
  std::vector<float> likely;
  float sum = 0;
  for (int i = 0; i < 48; ++i) sum += std::exp(-sharp * static_cast<float>(i));
  float h = 0;
  for (int i = 0; i < 64; ++i) {
    const float log_p = -sharp * static_cast<float>(i) - std::log(sum);
    const bool there = i < 48;
    if (there) h -= std::exp(log_p) * log_p;
    const int rank_of_next = static_cast<int>(3.0f * noise(13, static_cast<uint32_t>(step)));
    likely.push_back(there ? static_cast<float>((token(step + 1).id + i - rank_of_next + 48) % 48) : -1.0f);
    likely.push_back(there ? log_p : std::nanf(""));
  }
  batch.frames.push_back(make_frame("output.top", step, {}, {64, 2}, likely, origin));
  batch.frames.push_back(make_frame("output.entropy", step, {}, {}, {h}, origin));
  batch.frames.push_back(
      make_frame("output.tail", step, {}, {}, {0.001f * noise(17, static_cast<uint32_t>(step))}, origin));

  std::vector<int64_t> bytes;
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    bytes.insert(bytes.end(), {n_blocks * 64 * 192 * 4, 0, 0, 0});
  }
  Frame frame = make_frame_i64("cache.bytes", step, layers, {4}, bytes);
  frame.origin = origin;
  batch.frames.push_back(frame);
  frame = make_frame_i32("cache.entries", step, layers, {},
                         std::vector<int32_t>(layers.size(), static_cast<int32_t>(n_keys)));
  frame.origin = origin;
  batch.frames.push_back(frame);
  frame = make_frame_i32("cache.evicted", step, layers, {}, std::vector<int32_t>(layers.size(), 0));
  frame.origin = origin;
  batch.frames.push_back(frame);
  return batch;
}

FrameHistory SampleRun::history(int64_t n_steps, size_t max_bytes) const {
  FrameHistory history(max_bytes);
  history.reset(info());
  for (int64_t step = 0; step < n_steps; ++step) history.add_batch(batch(step));
  return history;
}

namespace {

LayerConfig hybrid_layer(int32_t layer, bool has_attention) {
  const int32_t kind = has_attention ? layer % 4 : layer % 2 * 2;
  LayerConfig config;
  if (kind == 1 || kind == 3) {
    config.mixers.push_back(MixerKind::kAttention);
    config.attention.n_heads = kind == 1 ? 9 : 2;
    config.attention.n_kv_heads = 1;
  }
  if (kind != 1) {
    config.mixers.push_back(MixerKind::kMatrixState);
    config.state.recurrence = kind == 2 ? Recurrence::kMamba1 : Recurrence::kMamba2;
    config.state.sizes = {.n_heads = kind == 0 ? 6 : kind == 2 ? 50 : 40, .n_groups = 1, .d_key = 4, .d_value = 4};
    config.state.n_stat_heads = kind == 2 ? 16 : config.state.sizes.n_heads;
    config.conv = {.n_taps = 4, .n_channels = 20, .is_gated = false};
  }
  if (kind == 1 || kind == 2) {
    config.feed_forward = FeedForwardKind::kMoe;
    config.moe.router.n_experts = kind == 1 ? 8 : 6;
    config.moe.router.n_chosen = kind == 1 ? 3 : 2;
  }
  return config;
}

uint32_t u(int64_t x) { return static_cast<uint32_t>(x); }

}  // namespace

RunInfo HybridRun::info() const {
  RunInfo info;
  info.model_name = "hybrid sample";
  info.level = "standard";
  info.config.architecture = "hybrid";
  info.config.vocab_size = static_cast<int64_t>(kWords.size());
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    info.config.layers.push_back(hybrid_layer(layer, has_attention));
    info.layer_labels.push_back(layer_label(info.config, layer));
  }
  return info;
}

float HybridRun::norm(int64_t step, int32_t layer, int32_t head) const {
  return (1.0f + noise(21, u(layer), u(head))) * (3.0f + std::sqrt(static_cast<float>(step)));
}
float HybridRun::write(int64_t step, int32_t layer, int32_t head) const {
  return 2.0f * noise(22, u(layer), u(head), u(step));
}
float HybridRun::keep(int64_t step, int32_t layer, int32_t head) const {
  return 0.5f + 0.5f * noise(23, u(layer), u(head), u(step));
}
float HybridRun::erase(int64_t step, int32_t layer, int32_t head) const {
  return 0.3f * noise(26, u(layer), u(head), u(step));
}
float HybridRun::read(int64_t step, int32_t layer, int32_t head) const {
  return 4.0f * noise(27, u(layer), u(head), u(step));
}
std::vector<int32_t> HybridRun::experts(int64_t step, int32_t layer) const {
  const RouterConfig router = hybrid_layer(layer, has_attention).moe.router;
  std::vector<int32_t> ids;
  const auto first = static_cast<int32_t>(noise(24, u(layer), u(step)) * static_cast<float>(router.n_experts));
  for (int32_t i = 0; i < router.n_chosen; ++i) ids.push_back((first + i) % router.n_experts);
  return ids;
}

FrameBatch HybridRun::batch(int64_t step) const {
  const ModelConfig config = info().config;
  const float nan = std::nanf("");
  FrameBatch batch;
  batch.tokens = {SampleRun{}.token(step), SampleRun{}.token(step + 1)};
  const auto layers_of = [&](const char* name) { return find_probe(name)->layers(config); };
  const auto inner_of = [&](const char* name) { return find_probe(name)->inner_shape(config, step + 1); };
  std::vector<float> norms, writes, keeps, erases, reads, weights, margins, entropies;
  std::vector<int32_t> ids;
  for (const int32_t layer : layers_of("state.norm")) {
    const int32_t n_heads = config.layers[static_cast<size_t>(layer)].state.n_stat_heads;
    for (int32_t head = 0; head < inner_of("state.norm")[0]; ++head) {
      const bool there = head < n_heads;
      norms.push_back(there ? norm(step, layer, head) : nan);
      writes.push_back(there ? write(step, layer, head) : nan);
      erases.push_back(there ? erase(step, layer, head) : nan);
      reads.push_back(there ? read(step, layer, head) : nan);
      const float kept = there ? keep(step, layer, head) : nan;
      keeps.insert(keeps.end(), {kept, kept * 0.9f, kept});
    }
  }
  for (const int32_t layer : layers_of("moe.experts")) {
    const std::vector<int32_t> chosen = experts(step, layer);
    const auto n = static_cast<size_t>(inner_of("moe.experts")[0]);
    for (size_t i = 0; i < n; ++i) {
      ids.push_back(i < chosen.size() ? chosen[i] : -1);
      weights.push_back(i < chosen.size() ? 0.5f / static_cast<float>(i + 1) : nan);
    }
    margins.push_back(0.25f);
    entropies.push_back(1.5f);
  }
  std::vector<int64_t> bytes;
  std::vector<int32_t> entries;
  for (const LayerConfig& layer : config.layers) {
    const bool attends = layer.has(MixerKind::kAttention);
    const bool recurs = layer.has(MixerKind::kMatrixState);
    bytes.insert(bytes.end(), {attends ? (step + 1) * 512 : 0, recurs ? 9000 : 0, recurs ? 240 : 0, 0});
    if (attends) entries.push_back(static_cast<int32_t>(step + 1));
  }
  const auto add = [&](const char* name, const auto& values) {
    batch.frames.push_back(make(name, step, layers_of(name), inner_of(name), values, Origin::kLive));
  };
  add("state.norm", norms);
  add("state.write", writes);
  add("state.keep", keeps);
  add("state.erase", erases);
  add("state.read", reads);
  add("moe.experts", ids);
  add("moe.weights", weights);
  add("moe.margin", margins);
  add("moe.entropy", entropies);
  add("cache.bytes", bytes);
  if (!entries.empty()) add("cache.entries", entries);
  add("output.entropy", std::vector<float>{1.0f + noise(25, u(step))});
  return batch;
}

FrameHistory HybridRun::history(int64_t n_steps) const {
  FrameHistory history;
  history.reset(info());
  for (int64_t step = 0; step < n_steps; ++step) history.add_batch(batch(step));
  return history;
}

RunInfo FastRun::info() const {
  RunInfo info = SampleRun{.n_layers = n_layers, .n_heads = 2}.info();
  info.layer_labels.clear();
  for (int32_t i = 0; i < n_layers; ++i) {
    if (i % 3 != 1) {
      LayerConfig& layer = info.config.layers[static_cast<size_t>(i)];
      layer.mixers = {MixerKind::kFastWeights};
      layer.fast = {.model = i % 3 == 0 ? FastModel::kLinear : FastModel::kMlp,
                    .n_heads = i % 3 == 0 ? 3 : 5,
                    .d_head = 4,
                    .d_hidden = i % 3 == 0 ? 0 : 16,
                    .batch_size = 8};
    }
    info.layer_labels.push_back(layer_label(info.config, i));
  }
  return info;
}

float FastRun::value(size_t probe, int64_t step, int32_t layer, int32_t head) const {
  return static_cast<float>(probe + 1) + 0.1f * static_cast<float>(step) + 0.25f * static_cast<float>(layer) +
         0.01f * static_cast<float>(head);
}

FrameBatch FastRun::batch(int64_t step) const {
  const ModelConfig config = info().config;
  FrameBatch batch;
  batch.tokens = {SampleRun{}.token(step), SampleRun{}.token(step + 1)};
  for (size_t probe = 0; probe < std::size(kProbes); ++probe) {
    const std::vector<int32_t> layers = find_probe(kProbes[probe])->layers(config);
    const std::vector<int64_t> inner = find_probe(kProbes[probe])->inner_shape(config, step + 1);
    std::vector<float> values;
    for (const int32_t layer : layers) {
      for (int32_t head = 0; head < inner[0]; ++head) {
        const bool there = head < config.layers[static_cast<size_t>(layer)].fast.n_heads;
        values.push_back(there ? value(probe, step, layer, head) : std::nanf(""));
      }
    }
    batch.frames.push_back(make_frame(kProbes[probe], step, layers, inner, values));
  }
  return batch;
}

FrameHistory FastRun::history(int64_t n_steps) const {
  FrameHistory history;
  history.reset(info());
  for (int64_t step = 0; step < n_steps; ++step) history.add_batch(batch(step));
  return history;
}

std::vector<PlacedText> placed_texts(const Scene& scene, const TextMetrics& metrics, Point origin) {
  std::vector<PlacedText> texts;
  for (const Item& item : scene.items) {
    const auto* text = std::get_if<Text>(&item);
    if (text == nullptr || text->text.empty()) continue;
    const float w = metrics.width(text->text, text->size);
    const float h = metrics.line_height(text->size);
    const float shift = text->align == Align::kLeft ? 0 : text->align == Align::kCentre ? w / 2 : w;
    texts.push_back({text->text, text->role, {origin.x + text->at.x - shift, origin.y + text->at.y - h / 2, w, h}});
  }
  for (const ScenePanel& panel : scene.panels) {
    const auto some = placed_texts(*panel.scene, metrics, {origin.x + panel.rect.x, origin.y + panel.rect.y});
    texts.insert(texts.end(), some.begin(), some.end());
  }
  return texts;
}

}  // namespace orrery
