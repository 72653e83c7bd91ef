#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <string>

namespace orrery {
namespace {

std::string text_of(double value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

Error refuse(const std::string& rule, const std::string& value) {
  return {ErrorCode::kInvalidArgument, rule + ": " + value};
}

// Seeds the state as xoshiro's authors advise (Blackman and Vigna, https://prng.di.unimi.it).
uint64_t splitmix64(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

// Comparisons are written so that NaN fails them.
Result<void> SamplerSettings::validate() const {
  if (!(temperature >= 0 && temperature <= 1e6)) {
    return refuse("--temperature must be a number from 0 to 1000000", text_of(temperature));
  }
  if (top_k < 0) return refuse("--top-k must be 0 (all) or more", std::to_string(top_k));
  if (!(top_p >= 0 && top_p <= 1)) return refuse("--top-p must be a number from 0 to 1", text_of(top_p));
  if (!(min_p >= 0 && min_p <= 1)) return refuse("--min-p must be a number from 0 to 1", text_of(min_p));
  if (!(repeat_penalty > 0 && repeat_penalty <= 1e6)) {
    return refuse("--repeat-penalty must be a number above 0, at most 1000000", text_of(repeat_penalty));
  }
  if (repeat_last_n < -1)
    return refuse("--repeat-last-n must be -1 (all), 0 (none) or more", std::to_string(repeat_last_n));
  return {};
}

Sampler::Sampler(const SamplerSettings& settings) : settings_(settings) {
  CHECK(settings.validate().has_value(), "sampler settings were not validated");
  uint64_t seeder = settings.seed;
  for (uint64_t& word : state_) word = splitmix64(seeder);
}

// xoshiro256++ 1.0; its upper 53 bits as a double, so that every platform draws alike.
double Sampler::next_uniform() {
  const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return static_cast<double>(result >> 11) * 0x1.0p-53;
}

void Sampler::skip(int64_t n) {
  if (settings_.temperature == 0) return;  // the likeliest token takes no random number
  for (int64_t i = 0; i < n; ++i) next_uniform();
}

// Keskar et al. 2019 (CTRL), with the sign rule that everyone uses: a negative logit is multiplied.
void Sampler::apply_repeat_penalty(std::span<const int32_t> recent) {
  if (settings_.repeat_penalty == 1 || settings_.repeat_last_n == 0) return;
  const auto window = static_cast<size_t>(settings_.repeat_last_n);
  if (settings_.repeat_last_n > 0 && recent.size() > window) recent = recent.last(window);
  penalised_.assign(recent.begin(), recent.end());
  std::sort(penalised_.begin(), penalised_.end());
  penalised_.erase(std::unique(penalised_.begin(), penalised_.end()), penalised_.end());
  for (const int32_t id : penalised_) {
    if (id < 0 || static_cast<size_t>(id) >= logits_.size()) continue;
    float& logit = logits_[static_cast<size_t>(id)];
    if (std::isinf(logit)) continue;
    const double value = logit;
    const double penalised = value > 0 ? value / settings_.repeat_penalty : value * settings_.repeat_penalty;
    logit = static_cast<float>(std::clamp<double>(penalised, -FLT_MAX, FLT_MAX));
  }
}

// Keeps the k likeliest, likeliest first, ties to the lower id.
void Sampler::select_top_k() {
  candidates_.clear();
  for (size_t id = 0; id < logits_.size(); ++id) {
    if (!std::isinf(logits_[id])) candidates_.push_back({static_cast<int32_t>(id), logits_[id]});
  }
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto k = static_cast<size_t>(settings_.top_k);
  if (k > 0 && k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k), candidates_.end(),
                     likelier);
    candidates_.resize(k);
  }
  std::sort(candidates_.begin(), candidates_.end(), likelier);
}

// weights_[i] = exp((logit - greatest) / temperature) of each candidate; returns their sum.
double Sampler::weigh(double temperature) {
  weights_.clear();
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    weights_.push_back(std::exp((static_cast<double>(candidate.logit) - candidates_.front().logit) / temperature));
    sum += weights_.back();
  }
  return sum;
}

// Both look at the probabilities before temperature, as llama.cpp's order has it.
void Sampler::cut_by_probability() {
  if (settings_.top_p >= 1 && settings_.min_p <= 0) return;
  const double sum = weigh(1.0);
  size_t keep = candidates_.size();
  double cumulated = 0;
  for (size_t i = 0; settings_.top_p < 1 && i < keep; ++i) {
    cumulated += weights_[i];
    if (cumulated >= settings_.top_p * sum) keep = i + 1;
  }
  while (keep > 1 && weights_[keep - 1] < settings_.min_p) --keep;  // the likeliest weighs 1
  candidates_.resize(keep);
}

Result<SampledToken> Sampler::sample(std::span<const float> logits, std::span<const int32_t> recent) {
  bool any_finite = false;
  for (const float logit : logits) {
    if (std::isnan(logit) || logit == INFINITY) {
      return Error{ErrorCode::kInvalidFile, "the model's output is not a number; its weights may be damaged: token " +
                                                std::to_string(&logit - logits.data())};
    }
    any_finite = any_finite || std::isfinite(logit);
  }
  if (!any_finite) {
    return Error{ErrorCode::kInvalidFile, "the model's output leaves no token to choose; its weights may be damaged"};
  }
  logits_.assign(logits.begin(), logits.end());
  apply_repeat_penalty(recent);
  if (settings_.temperature == 0) {
    const auto best = std::max_element(logits_.begin(), logits_.end());  // the first of equals: the lower id
    return SampledToken{static_cast<int32_t>(best - logits_.begin()), 1.0f};
  }
  select_top_k();
  cut_by_probability();
  const double sum = weigh(settings_.temperature);
  double left = next_uniform() * sum;
  size_t chosen = 0;
  while (chosen + 1 < candidates_.size() && left >= weights_[chosen]) left -= weights_[chosen++];
  return SampledToken{candidates_[chosen].id, static_cast<float>(weights_[chosen] / sum)};
}

}  // namespace orrery
