#include "app/export_rows.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace orrery {
namespace {

int64_t head_index(const Frame& frame, int32_t head) {
  if (frame.heads.empty()) return head < frame.shape[2] ? head : -1;
  const auto found = std::ranges::lower_bound(frame.heads, head);
  return found == frame.heads.end() || *found != head ? -1 : found - frame.heads.begin();
}

bool has_keys(const Probe& probe) { return probe.has_axis(Axis::kKey) || probe.has_axis(Axis::kKeyBlock); }

}  // namespace

ExportRows::ExportRows(const ExportShape& shape) : shape_(shape), block_values_(1) {
  for (const int64_t size : shape.inner) block_values_ *= size;
  values_.resize(static_cast<size_t>(shape.values_per_step()) * shape.value_bytes());
}

void ExportRows::fill_missing(std::byte* at, int64_t n_values) const {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const bool ids = shape_.probe->dtype != DType::kF32;
  if (ids) {
    std::memset(at, 0xFF, static_cast<size_t>(n_values) * shape_.value_bytes());  // -1 in two's complement
    return;
  }
  // Lists of tops: the id comes first.
  const bool pairs = shape_.probe->has_axis(Axis::kTop);
  for (int64_t i = 0; i < n_values; ++i) {
    const float value = pairs && i % 2 == 0 ? -1.0f : nan;
    std::memcpy(at + static_cast<size_t>(i) * sizeof(float), &value, sizeof(value));
  }
}

std::span<const std::byte> ExportRows::missing_row() {
  fill_missing(values_.data(), shape_.values_per_step());
  return values_;
}

std::span<const std::byte> ExportRows::row(const Frame& frame, int64_t step) {
  const Probe& probe = *shape_.probe;
  const bool heads = probe.has_axis(Axis::kHead);
  const size_t n_visits = probe.has_layers() ? shape_.visits.size() : 1;
  const size_t n_heads = heads ? shape_.heads.size() : 1;
  const int64_t frame_heads = heads ? frame.shape[2] : 1;
  const auto frame_layers = static_cast<int64_t>(probe.has_layers() ? frame.layers.size() : 1);
  const int64_t frame_block = frame.values_per_step() / std::max<int64_t>(frame_layers * frame_heads, 1);
  const int64_t n_copied = std::min(frame_block, block_values_);
  const std::byte* source =
      frame.payload.get() +
      static_cast<size_t>((step - frame.step_begin) * frame.values_per_step()) * shape_.value_bytes();
  std::byte* at = values_.data();
  for (size_t v = 0; v < n_visits; ++v) {
    const int64_t layer = probe.has_layers() ? frame.layer_index(shape_.visits[v]) : 0;
    for (size_t h = 0; h < n_heads; ++h, at += static_cast<size_t>(block_values_) * shape_.value_bytes()) {
      const int64_t head = heads ? head_index(frame, shape_.heads[h]) : 0;
      if (layer < 0 || head < 0) {
        fill_missing(at, block_values_);
        continue;
      }
      std::memcpy(at, source + static_cast<size_t>((layer * frame_heads + head) * frame_block) * shape_.value_bytes(),
                  static_cast<size_t>(n_copied) * shape_.value_bytes());
      if (n_copied == block_values_) continue;
      std::byte* rest = at + static_cast<size_t>(n_copied) * shape_.value_bytes();
      const int64_t n_rest = block_values_ - n_copied;
      if (has_keys(probe))
        std::memset(rest, 0, static_cast<size_t>(n_rest) * shape_.value_bytes());
      else
        fill_missing(rest, n_rest);
    }
  }
  return values_;
}

}  // namespace orrery
