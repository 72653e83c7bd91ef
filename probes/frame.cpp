#include "probes/frame.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "probes/model_axes.h"
#include "probes/state_checkpoint.h"

namespace orrery {
namespace {

const Probe& probe_of(Quantity quantity) {
  const auto probes = all_probes();
  const auto found = std::ranges::find(probes, quantity, &Probe::quantity);
  CHECK(found != probes.end(), "a planned quantity has no probe");
  return **found;
}

// The sizes of the axes after [t, layer], for a batch whose last step sees n_keys keys.
std::vector<int64_t> inner_shape(const Probe& probe, const ProbeField& field, const ModelConfig& config,
                                 int64_t n_keys) {
  std::vector<int64_t> inner = probe.inner_shape(config, n_keys);
  if (!field.heads.empty()) inner[0] = static_cast<int64_t>(field.heads.size());
  return inner;
}

// What a layer holds of a token is known whether the token went through it or not.
bool is_of_cache(const Probe& probe) {
  return probe.quantity == Quantity::kCacheBytes || probe.quantity == Quantity::kCacheEntries ||
         probe.quantity == Quantity::kCacheEvicted;
}

int64_t product(std::span<const int64_t> sizes) {
  int64_t n = 1;
  for (const int64_t size : sizes) n *= size;
  return n;
}

// Copies [.., from_width] to [.., to_width] by cutting the innermost axis; the buffer may be wider than the steps need.
void copy_narrowed(std::span<const std::byte> from, int64_t from_width, std::byte* to, int64_t to_width) {
  if (from_width == to_width) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  const auto from_bytes = static_cast<size_t>(from_width) * sizeof(float);
  const auto to_bytes = static_cast<size_t>(to_width) * sizeof(float);
  for (size_t at = 0; at < from.size(); at += from_bytes, to += to_bytes) std::memcpy(to, from.data() + at, to_bytes);
}

uint32_t word_of(float value) { return std::bit_cast<uint32_t>(value); }

// What a missing value holds: -1 for an id, 0 for a weight over keys, NaN else. Lists of tops are (id, weight).
uint32_t missing_word(const Probe& probe, int64_t i) {
  if (probe.dtype == DType::kI32) return static_cast<uint32_t>(-1);
  if (probe.has_axis(Axis::kTop)) return word_of(i % 2 == 0 ? -1.0f : 0.0f);
  return word_of(probe.padding == Padding::kZero ? 0.0f : std::numeric_limits<float>::quiet_NaN());
}

// Layers with fewer heads, taps or experts than the axis is long leave its end unwritten.
void pad_shorter_layers(Frame& frame, const ModelConfig& config, std::byte* payload) {
  const Probe& probe = *frame.probe;
  if (probe.size_in == nullptr) return;
  const int64_t n = frame.shape[2];
  int64_t n_words = 1;  // of each
  for (size_t axis = 3; axis < frame.shape.size(); ++axis) n_words *= frame.shape[axis];
  const auto n_layers = static_cast<int64_t>(frame.layers.size());
  for (int64_t i = 0; i < n_layers; ++i) {
    const int32_t own = probe.size_in(config.layers[static_cast<size_t>(frame.layers[static_cast<size_t>(i)])]);
    // Where only some heads are wanted, those that this layer has come first.
    int64_t present = std::min<int64_t>(own, n);
    if (!frame.heads.empty()) present = std::ranges::lower_bound(frame.heads, own) - frame.heads.begin();
    for (int64_t step = 0; step < frame.n_steps() && present < n; ++step) {
      std::byte* const row = payload + static_cast<size_t>((step * n_layers + i) * n * n_words) * sizeof(uint32_t);
      for (int64_t j = present * n_words; j < n * n_words; ++j) {
        const uint32_t word = missing_word(probe, j);
        std::memcpy(row + static_cast<size_t>(j) * sizeof(word), &word, sizeof(word));
      }
    }
  }
}

// Iterations that a token has left were not computed: nothing is known of their layers then.
void clear_left_iterations(Frame& frame, const ModelConfig& config, std::span<const int32_t> depths,
                           std::byte* payload) {
  const Probe& probe = *frame.probe;
  if (depths.empty() || frame.layers.empty()) return;
  const auto n_layers = static_cast<int64_t>(frame.layers.size());
  const int64_t n_words = frame.values_per_step() / n_layers;
  for (int64_t step = 0; step < frame.n_steps(); ++step) {
    for (int64_t i = 0; i < n_layers; ++i) {
      const LayerConfig& layer = config.layers[static_cast<size_t>(frame.layers[static_cast<size_t>(i)])];
      if (layer.iteration < depths[static_cast<size_t>(step)]) continue;
      std::byte* const words = payload + static_cast<size_t>((step * n_layers + i) * n_words) * sizeof(uint32_t);
      for (int64_t j = 0; j < n_words; ++j) {
        const bool is_id = probe.dtype == DType::kI32 || (probe.has_axis(Axis::kTop) && j % 2 == 0);
        const uint32_t word = is_id ? missing_word(probe, j) : word_of(std::numeric_limits<float>::quiet_NaN());
        std::memcpy(words + static_cast<size_t>(j) * sizeof(word), &word, sizeof(word));
      }
    }
  }
}

// Of weights that rounding made alike, the lower id comes first, as among those that were alike before; what pads the
// list (id -1) stays behind.
void sort_ties(std::span<float> list) {
  for (size_t i = 2; i < list.size(); i += 2) {
    for (size_t j = i; j > 0 && list[j] >= 0 && list[j - 1] == list[j + 1] && list[j - 2] > list[j]; j -= 2) {
      std::swap(list[j - 2], list[j]);
    }
  }
}

// Multiples of a step cost half the bytes of float32 (chunk_codec.h) and are off by less than sums of weights are.
void round_payload(const Frame& frame, std::byte* payload) {
  const Probe& probe = *frame.probe;
  if (probe.fraction_bits == 0) return;
  const std::span<float> values(reinterpret_cast<float*>(payload), static_cast<size_t>(frame.n_values()));
  if (!probe.has_axis(Axis::kTop)) return round_to_multiples(values, probe.fraction_bits);
  const auto list_values = static_cast<size_t>(frame.shape[frame.shape.size() - 2] * 2);
  std::vector<float> weights(list_values / 2);
  for (size_t at = 0; at < values.size(); at += list_values) {
    const std::span<float> list = values.subspan(at, list_values);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = list[2 * i + 1];
    round_to_multiples(weights, probe.fraction_bits);
    for (size_t i = 0; i < weights.size(); ++i) list[2 * i + 1] = weights[i];
    sort_ties(list);
  }
}

Frame describe_field(const ProbeBuffer& buffer, const ProbeField& field, const ModelConfig& config, int64_t run,
                     int64_t step_begin) {
  Frame frame;
  frame.run = run;
  frame.probe = &probe_of(field.quantity);
  frame.step_begin = step_begin;
  frame.step_end = step_begin + buffer.n_rows();
  frame.layers = field.layers;
  frame.heads = field.heads;
  frame.shape.push_back(buffer.n_rows());
  if (frame.probe->has_layers()) frame.shape.push_back(static_cast<int64_t>(field.layers.size()));
  const std::vector<int64_t> inner = inner_shape(*frame.probe, field, config, frame.step_end);
  frame.shape.insert(frame.shape.end(), inner.begin(), inner.end());
  const size_t element = frame.probe->dtype == DType::kI64 ? sizeof(int64_t) : sizeof(float);
  frame.payload_bytes = static_cast<size_t>(product(frame.shape)) * element;
  return frame;
}

}  // namespace

const char* origin_name(Origin origin) {
  switch (origin) {
    case Origin::kLive:
      return "live";
    case Origin::kRecorded:
      return "recorded";
    case Origin::kRecomputed:
      return "recomputed";
  }
  return "";
}

int64_t Frame::layer_index(int32_t layer) const {
  const auto found = std::ranges::lower_bound(layers, layer);
  return found == layers.end() || *found != layer ? -1 : found - layers.begin();
}

void FrameBatch::count_bytes() {
  n_bytes = sizeof(FrameBatch);
  for (const Frame& frame : frames) {
    n_bytes += sizeof(Frame) + frame.payload_bytes + (frame.layers.size() + frame.heads.size()) * sizeof(int32_t);
  }
  for (const Token& token : tokens) n_bytes += sizeof(Token) + token.bytes.size();
  if (checkpoint) n_bytes += sizeof(StateCheckpoint) + checkpoint->states.size() + checkpoint->keys.size();
  for (const RunEvent& event : events) n_bytes += sizeof(RunEvent) + event.kind.size() + event.detail.size();
}

void round_to_multiples(std::span<float> values, int fraction_bits) {
  // Where floats lie 2^-fraction_bits apart: adding this rounds, and taking it off again leaves the multiple.
  const float shift = 1.5f * std::ldexp(1.0f, 23 - fraction_bits);
  for (float& value : values) {
    const float rounded = (value + shift) - shift;
    value = std::abs(value) <= 4.0f ? rounded : value;
  }
}

std::vector<Frame> cut_frames(const ProbeBuffer& buffer, const ModelConfig& config, int64_t run, int64_t step_begin) {
  std::vector<Frame> frames;
  if (buffer.plan() == nullptr || buffer.n_rows() == 0) return frames;
  const std::vector<ProbeField>& fields = buffer.plan()->fields;
  const int64_t n_keys = step_begin + buffer.n_rows();
  CHECK(buffer.n_keys() >= n_keys, "the probe buffer is narrower than its last step");

  size_t n_bytes = 0;
  std::vector<size_t> offsets;
  for (const ProbeField& field : fields) {
    frames.push_back(describe_field(buffer, field, config, run, step_begin));
    offsets.push_back(n_bytes);
    n_bytes += (frames.back().payload_bytes + 7) & ~size_t{7};  // int64 payloads stay aligned
  }
  const std::shared_ptr<std::byte[]> memory = std::make_shared_for_overwrite<std::byte[]>(n_bytes);
  for (size_t i = 0; i < fields.size(); ++i) {
    Frame& frame = frames[i];
    std::byte* payload = memory.get() + offsets[i];
    const std::vector<int64_t> laid_out = inner_shape(*frame.probe, fields[i], config, buffer.n_keys());
    const bool keyed = fields[i].width.per_key != 0 || fields[i].width.per_block != 0;
    const std::span<const std::byte> source = buffer.field_bytes(i);
    if (keyed)
      copy_narrowed(source, laid_out.back(), payload, frame.shape.back());
    else
      std::memcpy(payload, source.data(), frame.payload_bytes);
    pad_shorter_layers(frame, config, payload);
    if (!is_of_cache(*frame.probe)) clear_left_iterations(frame, config, buffer.depths(), payload);
    round_payload(frame, payload);
    frame.payload = std::shared_ptr<const std::byte>(memory, payload);
  }
  return frames;
}

}  // namespace orrery
