// What the sampler makes of an output's candidates, against the sampler's own rules, and the output view that says so.
#include "views/sampling_cells.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/sampler.h"
#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/json_renderer.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

// 64 candidates with ids 100 and up, each half as likely as the one before.
std::vector<OutputCandidate> halves() {
  std::vector<OutputCandidate> candidates;
  for (int i = 0; i < 64; ++i) candidates.push_back({100 + i, std::pow(0.5, i + 1)});
  return candidates;
}

std::vector<Token> tokens(std::vector<int32_t> ids) {
  std::vector<Token> list;
  for (const int32_t id : ids) {
    list.emplace_back();
    list.back().step = std::ssize(list) - 1;
    list.back().id = id;
  }
  return list;
}

TEST(Sampling, TopKKeepsTheLikeliestAndTemperatureSharpensThem) {
  const Sampling s = sampling_of({.temperature = 0.5, .top_k = 2, .top_p = 1}, halves(), {});
  EXPECT_EQ(s.n_left, 2);
  EXPECT_EQ(s.cut[1], CutBy::kNothing);
  EXPECT_EQ(s.cut[2], CutBy::kTopK);
  EXPECT_NEAR(s.probabilities[0], 0.8, 1e-12) << "1 : 1/4";
  EXPECT_NEAR(s.probabilities[1], 0.2, 1e-12);
  EXPECT_EQ(s.probabilities[2], 0);
  EXPECT_EQ(s.approximate, "");
}

TEST(Sampling, TopPIsMeasuredOverWhatTopKLeaves) {
  // Of three (4/7, 2/7, 1/7), two reach 0.8; of all (1/2, 1/4, 1/8 …), it takes three.
  const Sampling of_three = sampling_of({.temperature = 1, .top_k = 3, .top_p = 0.8}, halves(), {});
  EXPECT_EQ(of_three.n_left, 2);
  EXPECT_EQ(of_three.cut[2], CutBy::kTopP);
  EXPECT_EQ(of_three.cut[3], CutBy::kTopK);
  const Sampling of_all = sampling_of({.temperature = 1, .top_k = 0, .top_p = 0.8}, halves(), {});
  EXPECT_EQ(of_all.n_left, 3);
  EXPECT_EQ(of_all.approximate, "") << "the cut lies within the candidates, and all sum to 1";
}

TEST(Sampling, MinPLooksAtTheRatioToTheLikeliest) {
  const Sampling s = sampling_of({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0.2}, halves(), {});
  EXPECT_EQ(s.n_left, 3);
  EXPECT_EQ(s.cut[3], CutBy::kMinP);
  EXPECT_NEAR(s.probabilities[0], 4.0 / 7, 1e-12);
}

TEST(Sampling, TemperatureZeroTakesTheLikeliest) {
  const Sampling s = sampling_of({.temperature = 0}, halves(), {});
  EXPECT_EQ(s.n_left, 1);
  EXPECT_EQ(s.probabilities[0], 1);
  EXPECT_EQ(s.cut[1], CutBy::kGreedy);
}

TEST(Sampling, SaysWhereItCannotBeExact) {
  const SamplingInfo open{.temperature = 1, .top_k = 0, .top_p = 1};
  EXPECT_NE(sampling_of(open, halves(), {}).approximate.find("outside the recorded"), std::string::npos);
  const SamplingInfo wide{.temperature = 1, .top_k = 100, .top_p = 0.8};
  EXPECT_NE(sampling_of(wide, halves(), {}).approximate.find("more candidates"), std::string::npos);
  SamplingInfo penalised{.temperature = 1, .top_k = 4, .top_p = 1, .repeat_penalty = 1.3};
  EXPECT_EQ(sampling_of(penalised, halves(), tokens({1, 2, 130})).approximate, "") << "none of the 4 is recent";
  EXPECT_NE(sampling_of(penalised, halves(), tokens({1, 102, 3})).approximate.find("penalty"), std::string::npos);
  std::vector<int32_t> long_ago{102};
  long_ago.resize(70, 1);
  EXPECT_EQ(sampling_of(penalised, halves(), tokens(long_ago)).approximate, "") << "the last 64 count";
  penalised.repeat_penalty = 0.8;
  EXPECT_NE(sampling_of(penalised, halves(), {}).approximate.find("penalty"), std::string::npos);
  // A whole vocabulary is recorded where it is small.
  std::vector<OutputCandidate> few = halves();
  few.resize(10);
  EXPECT_EQ(sampling_of(open, few, {}).approximate, "");
  EXPECT_EQ(sampling_of(open, few, {}).n_left, 10);
}

TEST(Sampling, AgreesWithWhatTheSamplerDraws) {
  // 500 tokens, of which the 64 likeliest are recorded; ids in no order.
  std::vector<float> logits(500);
  for (size_t id = 0; id < logits.size(); ++id) logits[id] = 3.5f * std::sin(static_cast<float>(id * id % 977)) + 1.0f;
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<OutputCandidate> candidates;
  for (size_t id = 0; id < logits.size(); ++id) {
    candidates.push_back({static_cast<int32_t>(id), std::exp(static_cast<double>(logits[id])) / sum});
  }
  std::ranges::stable_sort(candidates, std::greater<>(), &OutputCandidate::probability);
  candidates.resize(64);
  const std::vector<int32_t> before{candidates[5].id, candidates[20].id, 3};
  for (const SamplingInfo& info : {SamplingInfo{.temperature = 0.8, .top_k = 40, .top_p = 0.95},
                                   SamplingInfo{.temperature = 1.3, .top_k = 12, .top_p = 1},
                                   SamplingInfo{.temperature = 1, .top_k = 0, .top_p = 0.3},
                                   SamplingInfo{.temperature = 0.5, .top_k = 64, .top_p = 1, .min_p = 0.3},
                                   SamplingInfo{.temperature = 1, .top_k = 5, .top_p = 1, .repeat_penalty = 1.5},
                                   SamplingInfo{.temperature = 0}}) {
    const Sampling said = sampling_of(info, candidates, tokens(before));
    EXPECT_EQ(said.approximate, "");
    Sampler sampler({.temperature = info.temperature,
                     .top_k = info.top_k,
                     .top_p = info.top_p,
                     .min_p = info.min_p,
                     .repeat_penalty = info.repeat_penalty,
                     .seed = 7});
    std::vector<bool> drawn(candidates.size(), false);
    for (int draw = 0; draw < 2000; ++draw) {
      const Result<SampledToken> token = sampler.sample(logits, before);
      ASSERT_TRUE(token);
      const auto found = std::ranges::find(candidates, token->id, &OutputCandidate::id);
      ASSERT_NE(found, candidates.end());
      const auto i = static_cast<size_t>(found - candidates.begin());
      drawn[i] = true;
      EXPECT_EQ(said.cut[i], CutBy::kNothing);
      EXPECT_NEAR(said.probabilities[i], static_cast<double>(token->probability), 1e-6);
    }
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (said.probabilities[i] > 0.01) {
        EXPECT_TRUE(drawn[i]) << "one of " << said.n_left;
      }
    }
  }
}

FrameHistory history(const SamplingInfo& settings, Segment segment, int32_t next_id) {
  FrameHistory history;
  RunInfo info = SampleRun{.n_layers = 1, .n_heads = 1}.info();
  info.sampling = settings;
  history.reset(info);
  history.add_token(SampleRun{}.token(0));
  Token next = SampleRun{}.token(1);
  next.id = next_id;
  next.bytes = "<b>";
  next.segment = segment;
  history.add_token(next);
  std::vector<float> top;
  for (const OutputCandidate& one : halves()) {
    top.push_back(static_cast<float>(one.id));
    top.push_back(static_cast<float>(std::log(one.probability)));
  }
  history.add_frame(make_frame("output.top", 0, {}, {64, 2}, top));
  return history;
}

TEST(OutputView, TellsWhatWasSampledAndWhy) {
  const FrameHistory run = history({.temperature = 0.5, .top_k = 2, .top_p = 1}, Segment::kGenerated, 101);
  const json scene = draw_json("output", run, at(0), {900, 700});
  EXPECT_TRUE(says(scene, "Sampled: <b>, number 2 before the samplers, 25.0 %; after them 20.0 %, one of 2"));
  EXPECT_TRUE(says(scene, "top-k 2 · temperature 0.5 · seed 0: 2 of 64 left"));
  const json taken = named(scene["series"], "probability after the samplers");
  EXPECT_NEAR(taken["y"][0].get<double>(), 0.8, 1e-6);
  EXPECT_EQ(taken["y"][2], 0.0);
  EXPECT_TRUE(says(scene, "12.5 %, top-k"));
}

TEST(OutputView, SaysWhereTheSettingsDoNotExplainTheToken) {
  const FrameHistory run = history({.temperature = 0.5, .top_k = 2, .top_p = 1}, Segment::kGenerated, 105);
  EXPECT_TRUE(says(draw_json("output", run, at(0), {900, 700}), "as they are known would have cut it (top-k)"));
}

TEST(OutputView, DoesNotExplainATokenThatWasGiven) {
  const FrameHistory run = history({.temperature = 0.5, .top_k = 2, .top_p = 1}, Segment::kUser, 101);
  const json scene = draw_json("output", run, at(0), {900, 700});
  EXPECT_FALSE(says(scene, "top-k"));
  EXPECT_TRUE(named(scene["series"], "probability after the samplers").is_null());
  EXPECT_TRUE(says(scene, "Next in the prompt: <b>"));
  EXPECT_TRUE(says(draw_json("output", history({}, Segment::kForced, 101), at(0), {900, 700}), "Given: <b>"));
}

TEST(OutputView, AClickOnACandidatePinsItForTheLens) {
  const FrameHistory run = history({}, Segment::kGenerated, 101);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("output"))->scene({run, at(0), {900, 700}, metrics});
  ASSERT_GE(scene.regions.size(), 5u);
  const auto hit = hit_test(scene, scene.regions[3].rect.centre());
  ASSERT_TRUE(hit && hit->click);
  ViewState state = at(0);
  apply(state, *hit->click);
  EXPECT_EQ(state.selected.token, 103);
}

}  // namespace
}  // namespace orrery
