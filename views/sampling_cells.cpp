#include "views/sampling_cells.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace orrery {
namespace {

// The shortest text that reads back as the value: "0.95".
std::string text_of(double value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

constexpr float kNoId = 2147483648.0f;  // and above: a file may hold anything
constexpr size_t kRecorded = 64;        // of output.top: fewer are a whole vocabulary

bool penalises(const SamplingInfo& settings) { return settings.repeat_penalty != 1 && settings.repeat_last_n != 0; }

bool is_recent(int32_t id, const SamplingInfo& settings, std::span<const Token> recent) {
  const auto window = static_cast<size_t>(std::max(settings.repeat_last_n, 0));
  if (settings.repeat_last_n > 0 && recent.size() > window) recent = recent.last(window);
  return std::ranges::find(recent, id, &Token::id) != recent.end();
}

class Cuts {
 public:
  Cuts(const SamplingInfo& settings, std::span<const OutputCandidate> candidates, std::span<const Token> recent)
      : settings_(settings), candidates_(candidates), recent_(recent), n_(candidates.size()) {}

  Sampling make() {
    sampling_.cut.assign(n_, CutBy::kNothing);
    sampling_.probabilities.assign(n_, 0);
    if (n_ == 0) return std::move(sampling_);
    if (settings_.temperature == 0) {
      cut_from(1, CutBy::kGreedy);
    } else {
      if (settings_.top_k > 0) cut_from(static_cast<size_t>(settings_.top_k), CutBy::kTopK);
      by_top_p();
      by_min_p();
    }
    weigh();
    look_for_doubt();
    return std::move(sampling_);
  }

 private:
  void cut_from(size_t first, CutBy why) {
    for (size_t i = first; i < kept_; ++i) sampling_.cut[i] = why;
    kept_ = std::min(kept_, first);
  }

  // All that top-k leaves lies within the candidates; else the sum of probabilities that top-p divides by is taken for
  // 1, which it is without top-k.
  bool knows_sum() const {
    return n_ < kRecorded || (settings_.top_k > 0 && static_cast<size_t>(settings_.top_k) <= n_);
  }

  void by_top_p() {
    if (settings_.top_p >= 1) return;
    double sum = 1;
    if (knows_sum()) {
      sum = 0;
      for (size_t i = 0; i < kept_; ++i) sum += candidates_[i].probability;
    }
    double cumulated = 0;
    for (size_t i = 0; i < kept_; ++i) {
      cumulated += candidates_[i].probability;
      if (cumulated < settings_.top_p * sum) continue;
      ended_within_ = true;
      return cut_from(i + 1, CutBy::kTopP);
    }
  }

  void by_min_p() {
    if (settings_.min_p <= 0) return;
    for (size_t i = 1; i < kept_; ++i) {
      if (candidates_[i].probability >= settings_.min_p * candidates_[0].probability) continue;
      ended_within_ = true;
      return cut_from(i, CutBy::kMinP);
    }
  }

  void weigh() {
    sampling_.n_left = static_cast<int64_t>(kept_);
    double sum = 0;
    for (size_t i = 0; i < kept_; ++i) {
      const double ratio = candidates_[i].probability / candidates_[0].probability;
      sampling_.probabilities[i] = settings_.temperature > 0 ? std::pow(ratio, 1 / settings_.temperature) : 1;
      sum += sampling_.probabilities[i];
    }
    for (size_t i = 0; i < kept_; ++i) sampling_.probabilities[i] /= sum;
  }

  void look_for_doubt() {
    // A penalty above 1 moves nothing up: it leaves all as it is where none of what top-k keeps is recent.
    if (penalises(settings_)) {
      size_t n_matter = settings_.top_k > 0 ? std::min(static_cast<size_t>(settings_.top_k), n_) : n_;
      if (settings_.temperature == 0) n_matter = 1;
      const bool any = std::ranges::any_of(candidates_.first(n_matter), [this](const OutputCandidate& one) {
        return is_recent(one.id, settings_, recent_);
      });
      if (settings_.repeat_penalty < 1 || any || !(knows_sum() || settings_.temperature == 0)) {
        sampling_.approximate = "the repeat penalty changes logits, which are not recorded";
        return;
      }
    }
    if (settings_.temperature == 0 || knows_sum()) return;
    if (settings_.top_k > 0 && settings_.top_p < 1) {
      sampling_.approximate = "top-p is measured over more candidates than are recorded";
    } else if (!ended_within_) {
      sampling_.approximate = "tokens outside the recorded ones could be taken as well";
    }
  }

  const SamplingInfo& settings_;
  const std::span<const OutputCandidate> candidates_;
  const std::span<const Token> recent_;
  const size_t n_;
  size_t kept_ = n_;
  bool ended_within_ = false;  // a cut-off lies within the candidates
  Sampling sampling_;
};

}  // namespace

std::vector<OutputCandidate> output_candidates(const FrameHistory& history, int64_t step) {
  std::vector<OutputCandidate> candidates;
  const FrameRow row = step < 0 ? FrameRow{} : history.row(*find_probe("output.top"), step);
  if (!row) return candidates;
  const std::span<const float> top = row.f32();
  for (size_t i = 0; i + 1 < top.size(); i += 2) {
    if (!(top[i] >= 0 && top[i] < kNoId)) continue;
    candidates.push_back({static_cast<int32_t>(top[i]), std::exp(static_cast<double>(top[i + 1]))});
  }
  return candidates;
}

const char* cut_name(CutBy cut) {
  switch (cut) {
    case CutBy::kNothing:
      return "";
    case CutBy::kTopK:
      return "top-k";
    case CutBy::kTopP:
      return "top-p";
    case CutBy::kMinP:
      return "min-p";
    case CutBy::kGreedy:
      return "temperature 0";
  }
  return "";
}

Sampling sampling_of(const SamplingInfo& settings, std::span<const OutputCandidate> candidates,
                     std::span<const Token> recent) {
  return Cuts(settings, candidates, recent).make();
}

std::string sampling_text(const SamplingInfo& settings) {
  std::string text;
  if (penalises(settings)) text += "repeat penalty " + text_of(settings.repeat_penalty) + " · ";
  if (settings.temperature == 0) return text + "temperature 0: the likeliest";
  if (settings.top_k > 0) text += "top-k " + std::to_string(settings.top_k) + " · ";
  if (settings.top_p < 1) text += "top-p " + text_of(settings.top_p) + " · ";
  if (settings.min_p > 0) text += "min-p " + text_of(settings.min_p) + " · ";
  return text + "temperature " + text_of(settings.temperature) + " · seed " + std::to_string(settings.seed);
}

}  // namespace orrery
