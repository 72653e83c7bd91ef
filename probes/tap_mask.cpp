#include "probes/tap_mask.h"

#include <algorithm>
#include <limits>

#include "probes/model_axes.h"

namespace orrery {
namespace {

const Probe& named(std::string_view name) {
  const Probe* const probe = find_probe(name);
  CHECK(probe != nullptr, "no such probe");
  return *probe;
}

const Probe& attention_row() {
  static const Probe* const kProbe = &named("attention.row");
  return *kProbe;
}

const Probe& state_row() {
  static const Probe* const kProbe = &named("state.row");
  return *kProbe;
}

// Of `values`, ascending, those that are also in `wanted`; all where nothing is named.
std::vector<int32_t> narrowed(std::vector<int32_t> values, const std::vector<int32_t>& wanted) {
  if (!wanted.empty()) std::erase_if(values, [&](int32_t v) { return std::ranges::find(wanted, v) == wanted.end(); });
  return values;
}

void add_sorted(std::vector<int32_t>& values, int32_t value) {
  const auto at = std::ranges::lower_bound(values, value);
  if (at == values.end() || *at != value) values.insert(at, value);
}

ProbeField row_field(const Probe& probe, const TapMask& mask, const ModelConfig& config) {
  ProbeField field;
  field.quantity = probe.quantity;
  field.layers = narrowed(probe.layers(config), mask.row_layers);
  std::vector<int32_t> heads(static_cast<size_t>(longest(config, probe.size_in)));
  for (size_t i = 0; i < heads.size(); ++i) heads[i] = static_cast<int32_t>(i);
  field.heads = narrowed(std::move(heads), mask.row_heads);
  field.width = {.per_key = static_cast<int64_t>(field.heads.size())};
  return field;
}

}  // namespace

TapMask TapMask::of(Level level) {
  TapMask mask;
  for (const Probe* probe : all_probes()) {
    if (probe->level <= level) mask.probes.insert(probe);
  }
  return mask;
}

bool TapMask::needs_history() const { return probes.contains(&state_row()); }

ProbePlan compile(const TapMask& mask, const ModelConfig& config) {
  ProbePlan plan;
  for (const Probe* probe : all_probes()) {
    if (!mask.probes.contains(probe)) continue;
    if (probe->has_axis(Axis::kKey)) {
      ProbeField field = row_field(*probe, mask, config);
      if (!field.layers.empty() && !field.heads.empty()) plan.fields.push_back(std::move(field));
      continue;
    }
    if (!is_offered(*probe, config)) continue;
    std::vector<int32_t> layers = probe->layers(config);
    plan.fields.push_back(
        {.quantity = probe->quantity, .layers = std::move(layers), .heads = {}, .width = probe->width(config)});
  }
  plan.keeps_history = (mask.keeps_history || mask.needs_history()) && !state_layers(config).empty();
  return plan;
}

Level TapSchedule::level_at(int64_t step) const {
  Level wanted = level;
  for (const Span& span : spans) {
    if (step >= span.begin && step < span.end) wanted = std::max(wanted, span.level);
  }
  return wanted;
}

TapMask TapSchedule::mask_at(int64_t step) const {
  if (!recording) return TapMask::none();
  TapMask mask = TapMask::of(level_at(step));
  if (step < pinned_steps) mask.probes.insert(&attention_row());
  if (mask.probes.contains(&attention_row())) return mask;  // of all heads
  for (const PinnedHead& pinned : pinned_at(step)) {
    mask.probes.insert(&attention_row());
    add_sorted(mask.row_layers, pinned.layer);
    add_sorted(mask.row_heads, pinned.head);
  }
  return mask;
}

std::vector<PinnedHead> TapSchedule::pinned_at(int64_t step) const {
  std::vector<PinnedHead> heads;
  for (const Pins& one : pins) {
    if (one.begin <= step) heads = one.heads;
  }
  return heads;
}

void TapSchedule::pin(int64_t begin, std::vector<PinnedHead> heads) {
  std::erase_if(pins, [begin](const Pins& one) { return one.begin >= begin; });
  if (heads == pinned_at(begin)) return;
  pins.push_back({.begin = begin, .heads = std::move(heads)});
}

int64_t TapSchedule::next_change(int64_t step) const {
  int64_t next = std::numeric_limits<int64_t>::max();
  if (!recording) return next;
  const auto consider = [&](int64_t boundary) {
    if (boundary > step) next = std::min(next, boundary);
  };
  for (const Span& span : spans) {
    if (span.begin >= span.end) continue;
    consider(span.begin);
    consider(span.end);
  }
  consider(pinned_steps);
  for (const Pins& one : pins) consider(one.begin);
  return next;
}

}  // namespace orrery
