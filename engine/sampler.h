// Sampler: from logits to the next token. One seed, one text: its generator and arithmetic are its own, so that no
// library's distribution can change what is drawn.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

struct SamplerSettings {
  double temperature = 0.8;    // 0: the likeliest token, ties to the lower id
  int32_t top_k = 40;          // keep the k likeliest; 0: all
  double top_p = 0.95;         // keep the fewest whose probabilities reach p; 1: all
  double min_p = 0;            // keep those at least min_p as likely as the likeliest; 0: all
  double repeat_penalty = 1;   // > 1 makes recent tokens less likely; 1: off
  int32_t repeat_last_n = 64;  // how many recent tokens; 0: none, -1: all
  uint64_t seed = 0;           // used as it is: 0 is a seed like any other

  // kInvalidArgument with a sentence that names the option and the value (NaN, negative, out of range).
  Result<void> validate() const;
  bool operator==(const SamplerSettings&) const = default;
};

struct SampledToken {
  int32_t id = 0;
  float probability = 1;  // with which it was drawn, after all filters; 1 where temperature is 0
};

// Order, as in llama.cpp's default: penalty, top-k, top-p, min-p, temperature, draw. One generation each; not thread
// safe.
class Sampler {
 public:
  // `settings` must have passed validate().
  explicit Sampler(const SamplerSettings& settings);

  // logits: [n_vocab], unchanged. recent: the tokens so far, prompt included, latest last; ids outside the vocabulary
  // are ignored. -infinity masks a token. kInvalidFile where a logit is NaN or +infinity, or none is finite (damaged
  // weights); draws exactly one random number per call where temperature > 0.
  Result<SampledToken> sample(std::span<const float> logits, std::span<const int32_t> recent);

  // Passes over the random numbers of n draws, 0 or more: what is drawn next is what the draw after them would be.
  void skip(int64_t n);

  const SamplerSettings& settings() const { return settings_; }

 private:
  struct Candidate {
    int32_t id;
    float logit;
  };
  void apply_repeat_penalty(std::span<const int32_t> recent);
  void select_top_k();
  void cut_by_probability();
  double weigh(double temperature);
  double next_uniform();  // [0, 1)

  SamplerSettings settings_;
  std::array<uint64_t, 4> state_{};    // xoshiro256++
  std::vector<float> logits_;          // scratch: penalised copy
  std::vector<Candidate> candidates_;  // scratch
  std::vector<double> weights_;        // scratch
  std::vector<int32_t> penalised_;     // scratch: recent ids, each once
};

}  // namespace orrery
