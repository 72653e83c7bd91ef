// The list of all probes, written out by hand: a linker drops objects that register themselves, and a list is where a
// newcomer looks first.
#include <algorithm>

#include "probes/definitions.h"

namespace orrery {

std::span<const Probe* const> all_probes() {
  static const std::vector<const Probe*> kProbes = [] {
    std::vector<const Probe*> probes;
    for (const std::span<const Probe> family : {
             output_probes(),
             residual_norm_probes(),
             lens_top_probes(),
             attention_row_probes(),
             attention_top_probes(),
             attention_mass_probes(),
             attention_scalar_probes(),
             attention_output_probes(),
             state_probes(),
             fast_probes(),
             conv_probes(),
             moe_probes(),
             loop_probes(),
             cache_probes(),
         }) {
      for (const Probe& probe : family) probes.push_back(&probe);
    }
    return probes;
  }();
  return kProbes;
}

const Probe* find_probe(std::string_view name) {
  const auto found = std::ranges::find(all_probes(), name, &Probe::name);
  return found == all_probes().end() ? nullptr : *found;
}

bool is_offered(const Probe& probe, const ModelConfig& config) {
  if (probe.has_layers()) return !probe.layers(config).empty();
  return probe.is_in == nullptr || probe.is_in(config);
}

std::vector<const Probe*> offered_probes(const ModelConfig& config) {
  std::vector<const Probe*> offered;
  for (const Probe* probe : all_probes()) {
    if (is_offered(*probe, config)) offered.push_back(probe);
  }
  return offered;
}

}  // namespace orrery
