// Which candidates the sampler could take, worked out from what is recorded of an output: without any drawing. The
// sampler's order: repeat penalty, top-k, top-p, min-p, temperature, draw (engine/sampler.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "probes/frame_history.h"

namespace orrery {

struct OutputCandidate {
  int32_t id = -1;
  double probability = 0;  // of the model, before the samplers
};
// output.top at a step, likeliest first; empty where it is not held.
std::vector<OutputCandidate> output_candidates(const FrameHistory& history, int64_t step);

enum class CutBy : uint8_t { kNothing, kTopK, kTopP, kMinP, kGreedy };
const char* cut_name(CutBy cut);  // "top-p"

struct Sampling {
  std::vector<CutBy> cut;             // per candidate; kNothing: it could be taken
  std::vector<double> probabilities;  // per candidate, of being taken; 0 where it is cut
  int64_t n_left = 0;                 // that could be taken, among the candidates
  // Empty: exact (but for rounding). Else why what is said here is not: what was not recorded, in a sentence.
  std::string approximate;
};
// recent: the ids before the token that is drawn, latest last. candidates as output_candidates() has them.
Sampling sampling_of(const SamplingInfo& settings, std::span<const OutputCandidate> candidates,
                     std::span<const Token> recent);

// "temperature 0.8 · top-k 40 · top-p 0.95 · min-p 0 · repeat penalty 1 · seed 0": what is on, in the sampler's order.
std::string sampling_text(const SamplingInfo& settings);

}  // namespace orrery
