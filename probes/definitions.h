// The probes' definitions, one file per probe or small family of siblings; registry.cpp lists them.
#pragma once

#include <span>

#include "probes/probe.h"

namespace orrery {

// Each valid for the program's lifetime; any thread.
std::span<const Probe> output_probes();            // output.top, output.entropy, output.tail
std::span<const Probe> residual_norm_probes();     // residual.norm
std::span<const Probe> lens_top_probes();          // lens.top
std::span<const Probe> attention_row_probes();     // attention.row
std::span<const Probe> attention_top_probes();     // attention.top, attention.rest
std::span<const Probe> attention_mass_probes();    // attention.mass
std::span<const Probe> attention_scalar_probes();  // attention.entropy, .first, .previous, .distance
std::span<const Probe> attention_output_probes();  // attention.output
std::span<const Probe> state_probes();             // state.norm, .write, .erase, .read, .keep, .row
std::span<const Probe> fast_probes();              // fast.loss_before, .loss_after, .rate, .update, .drift
std::span<const Probe> conv_probes();              // conv.gate_in, .gate_out, .taps
std::span<const Probe> moe_probes();               // moe.experts, .weights, .margin, .entropy
std::span<const Probe> loop_probes();              // loop.depth, .exit, .step, .cosine
std::span<const Probe> cache_probes();             // cache.bytes, cache.entries, cache.evicted

}  // namespace orrery
