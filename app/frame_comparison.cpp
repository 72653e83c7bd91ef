#include "app/frame_comparison.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace orrery {
namespace {

struct Block {
  const std::byte* data = nullptr;
  int64_t n_values = 0;
};

// The values of one step as [layers x heads] blocks.
struct StepBlocks {
  const Frame& frame;
  const std::byte* data;
  size_t value_bytes;
  int64_t n_heads;
  int64_t block_values;

  StepBlocks(const Frame& f, int64_t step) : frame(f) {
    value_bytes = f.probe->dtype == DType::kI64 ? 8 : 4;
    n_heads = f.probe->has_axis(Axis::kHead) ? f.shape[2] : 1;
    const int64_t n_layers = f.probe->has_layers() ? f.shape[1] : 1;
    block_values = n_layers * n_heads == 0 ? 0 : f.values_per_step() / (n_layers * n_heads);
    data = f.payload.get() + static_cast<size_t>((step - f.step_begin) * f.values_per_step()) * value_bytes;
  }
  const std::byte* block(int64_t layer, int64_t head) const {
    return data + static_cast<size_t>((layer * n_heads + head) * block_values) * value_bytes;
  }
};

// How many values of a block mean something at a step: a key axis is as long as the row sees.
int64_t meaningful(const Probe& probe, int64_t block_values, int64_t step) {
  if (probe.has_axis(Axis::kKey)) return step + 1;
  if (probe.has_axis(Axis::kKeyBlock)) return key_blocks_at(step);
  return block_values;
}

double value_at(DType dtype, const std::byte* data, int64_t i) {
  const std::byte* at = data + static_cast<size_t>(i) * (dtype == DType::kI64 ? 8 : 4);
  switch (dtype) {
    case DType::kI64: {
      int64_t value;
      std::memcpy(&value, at, sizeof(value));
      return static_cast<double>(value);
    }
    case DType::kI32: {
      int32_t value;
      std::memcpy(&value, at, sizeof(value));
      return value;
    }
    default: {
      float value;
      std::memcpy(&value, at, sizeof(value));
      return static_cast<double>(value);
    }
  }
}

bool within(double a, double b, const Tolerance& tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a == b) return true;
  return std::abs(a - b) <= tolerance.absolute + tolerance.relative * std::max(std::abs(a), std::abs(b));
}

bool same_form(const StepBlocks& a, const StepBlocks& b, int64_t step) {
  const Probe& probe = *a.frame.probe;
  if (a.frame.layers != b.frame.layers || a.n_heads != b.n_heads || a.frame.heads != b.frame.heads) return false;
  const int64_t n = meaningful(probe, std::max(a.block_values, b.block_values), step);
  return a.block_values >= n && b.block_values >= n;
}

}  // namespace

Tolerance tolerance_of(const Probe& probe) {
  if (probe.dtype != DType::kF32) return {};
  if (probe.name.starts_with("attention.")) return {.absolute = 5e-3, .relative = 2e-2};
  return {.absolute = 1e-2, .relative = 2e-2};
}

void FrameComparison::compare(const Frame& recorded, const Frame& recomputed) {
  CHECK(recorded.probe == recomputed.probe);
  const int64_t end = std::min(recorded.step_end, recomputed.step_end);
  for (int64_t step = std::max(recorded.step_begin, recomputed.step_begin); step < end; ++step) {
    compare_step(recorded, recomputed, step);
  }
}

void FrameComparison::compare_step(const Frame& recorded, const Frame& recomputed, int64_t step) {
  const Probe& probe = *recorded.probe;
  Totals& totals = totals_[std::string(probe.name)];
  ++totals.n_steps;
  const StepBlocks a(recorded, step);
  const StepBlocks b(recomputed, step);
  if (!same_form(a, b, step)) {
    ++totals.n_other_bits;
    note({.probe = &probe, .step = step, .shape = true});
    return;
  }
  const int64_t n = meaningful(probe, a.block_values, step);
  const bool pairs = probe.has_axis(Axis::kTop) && probe.has_axis(Axis::kField);
  const bool all_ids = probe.has_axis(Axis::kChosen) && probe.dtype == DType::kI32;
  const Tolerance tolerance = tolerance_of(probe);
  const auto n_layers = static_cast<int64_t>(probe.has_layers() ? recorded.layers.size() : 1);
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    for (int64_t head = 0; head < a.n_heads; ++head) {
      const std::byte* left = a.block(layer, head);
      const std::byte* right = b.block(layer, head);
      totals.n_values += n;
      if (std::memcmp(left, right, static_cast<size_t>(n) * a.value_bytes) == 0) continue;
      for (int64_t i = 0; i < n; ++i) {
        const size_t at = static_cast<size_t>(i) * a.value_bytes;
        if (std::memcmp(left + at, right + at, a.value_bytes) == 0) continue;
        ++totals.n_other_bits;
        const double x = value_at(probe.dtype, left, i);
        const double y = value_at(probe.dtype, right, i);
        const bool is_id = all_ids || (pairs && i % 2 == 0);
        if (!is_id && std::isfinite(x - y))
          totals.greatest_difference = std::max(totals.greatest_difference, std::abs(x - y));
        if (!exact_ && (is_id || within(x, y, tolerance))) continue;
        note({.probe = &probe,
              .step = step,
              .layer = probe.has_layers() ? recorded.layers[static_cast<size_t>(layer)] : -1,
              .head = !probe.has_axis(Axis::kHead) ? -1
                      : recorded.heads.empty()     ? static_cast<int32_t>(head)
                                                   : recorded.heads[static_cast<size_t>(head)],
              .index = i,
              .recorded = x,
              .recomputed = y});
      }
    }
  }
}

void FrameComparison::note(const FrameDifference& difference) {
  const auto rank = [](const Probe* probe) { return std::ranges::find(all_probes(), probe) - all_probes().begin(); };
  if (first_ && std::pair(first_->step, rank(first_->probe)) <= std::pair(difference.step, rank(difference.probe)))
    return;
  first_ = difference;
}

int64_t FrameComparison::n_values() const {
  int64_t n = 0;
  for (const auto& [name, totals] : totals_) n += totals.n_values;
  return n;
}

int64_t FrameComparison::n_other_bits() const {
  int64_t n = 0;
  for (const auto& [name, totals] : totals_) n += totals.n_other_bits;
  return n;
}

}  // namespace orrery
