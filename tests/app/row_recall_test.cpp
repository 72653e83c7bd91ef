// Exact rows of single steps, computed again from what a run's cache holds, while the run goes on.
#include "app/row_recall.h"

#include <gmock/gmock.h>

#include <cstring>
#include <map>

#include "app/run_loop.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using testing::open_tiny;

constexpr int64_t kGiven = 150;
constexpr int64_t kNew = 50;

const Probe& attention_row() { return *find_probe("attention.row"); }

// All that a run publishes, as bytes by probe and step.
using Published = std::map<std::pair<const Probe*, int64_t>, std::vector<float>>;

void take(const FrameBatch& batch, Published& published) {
  for (const Frame& frame : batch.frames) {
    for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
      const std::span<const float> row = frame.step_values<float>(step);
      published[{frame.probe, step}].assign(row.begin(), row.end());
    }
  }
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

RunRequest request_of(const OpenedModel& opened) {
  RunRequest request;
  for (int64_t step = 0; step < kGiven; ++step) {
    const auto id = static_cast<int32_t>(step * step * 7 % (opened.model->config().vocab_size - 1));
    request.prompt.push_back({.step = step, .id = id, .bytes = {}, .segment = Segment::kForced});
  }
  request.batches = {{0, 70}, {70, 71}, {75, 140}};
  request.n_new_tokens = kNew;
  request.sampler.temperature = 0.9;
  request.sampler.seed = 5;
  request.schedule.level = Level::kFull;
  return request;
}

// A run at level full; `meanwhile` is called between its passes.
struct WholeRun {
  Published published;
  std::vector<int32_t> ids;
};
WholeRun run_all(const OpenedModel& opened, Generator& generator,
                 const std::function<void(RunLoop&, const RunRequest&)>& meanwhile = {}) {
  WholeRun run;
  RunControl control;
  const RunRequest request = request_of(opened);
  std::unique_ptr<RunLoop> loop;
  RunSinks sinks;
  sinks.publish = [&](const SharedBatch& batch) { take(*batch, run.published); };
  if (meanwhile) {
    sinks.meanwhile = [&] {
      meanwhile(*loop, request);
      return false;
    };
  }
  loop = std::make_unique<RunLoop>(generator, opened.tokenizer.get(), request, sinks, control);
  const Result<RunResult> result = loop->start();
  EXPECT_TRUE(result) << result.error().message;
  run.ids.assign(loop->ids().begin(), loop->ids().end());
  return run;
}

Frame recall(RowRecall& rows, const RowRequest& request, std::span<const int32_t> ids,
             std::span<const std::pair<int64_t, int64_t>> batches, int64_t slice = 16) {
  const Result<void> begun = rows.begin(request, ids, batches);
  EXPECT_TRUE(begun) << begun.error().message;
  while (begun) {
    Result<std::optional<Frame>> row = rows.go_on(slice);
    EXPECT_TRUE(row) << row.error().message;
    if (!row) break;
    if (*row) return std::move(**row);
  }
  return {};
}

// Holds a recomputed row of a layer against the whole rows of a recording at level full.
void expect_row_of(const Frame& frame, const RowRequest& request, const Published& published,
                   const ModelConfig& config) {
  ASSERT_EQ(frame.probe, request.probe);
  EXPECT_EQ(frame.origin, Origin::kRecomputed);
  EXPECT_EQ(frame.step_begin, request.step);
  EXPECT_EQ(frame.step_end, request.step + 1);
  ASSERT_EQ(frame.layers, std::vector<int32_t>{request.layer});
  const std::vector<int32_t> layers = request.probe->layers(config);
  const auto at = static_cast<size_t>(std::ranges::find(layers, request.layer) - layers.begin());
  const std::vector<float>& whole = published.at({request.probe, request.step});
  const auto n_heads = static_cast<size_t>(frame.shape[2]), n_keys = static_cast<size_t>(request.step + 1);
  const size_t stride = whole.size() / (layers.size() * n_heads);
  float sum = 0;
  for (size_t head = 0; head < n_heads; ++head) {
    const auto recorded = std::span(whole).subspan((at * n_heads + head) * stride, n_keys);
    const auto mine = frame.values<float>().subspan(head * n_keys, n_keys);
    EXPECT_TRUE(same_bits(recorded, mine)) << "layer " << request.layer << " head " << head << " step " << request.step;
    for (const float weight : mine) sum += std::isnan(weight) ? 0 : weight;
  }
  EXPECT_GT(sum, 0.1f);
}

class RowRecalls : public ::testing::TestWithParam<const char*> {};

// Plain, windowed, with sinks, latent; beside short convolutions, selective states, delta nets, shared blocks,
// lightning attention, a gated recurrence; in loops, with early exits and without; turning by the length.
INSTANTIATE_TEST_SUITE_P(Models, RowRecalls,
                         ::testing::Values("tiny-llama-a", "tiny-mistral", "tiny-gemma3", "tiny-gpt-oss",
                                           "tiny-deepseek-v3", "tiny-lfm2", "tiny-granite-hybrid", "tiny-jamba",
                                           "tiny-falcon-h1", "tiny-qwen3-next", "tiny-zamba2", "tiny-minimax",
                                           "tiny-samba", "tiny-recurrent-gemma", "tiny-ouro", "tiny-huginn-exits",
                                           "tiny-kimi-linear"));

TEST_P(RowRecalls, EqualAFullRecordingBitForBitAndLeaveTheRunAsItIs) {
  const OpenedModel opened = open_tiny(GetParam());
  const ModelConfig& config = opened.model->config();
  Generator alone(opened.model, opened.kv);
  const WholeRun expected = run_all(opened, alone);
  const std::vector<int32_t> layers = attention_row().layers(config);
  for (const size_t past_bytes : {size_t{0}, size_t{60000}, size_t{64} << 20}) {
    Generator generator(opened.model, opened.kv);
    generator.keep_past(past_bytes);
    RowRecall rows(generator);
    int n_asked = 0;
    const WholeRun disturbed = run_all(opened, generator, [&](RunLoop& loop, const RunRequest& request) {
      if (++n_asked % 3 != 0 || generator.length() == 0) return;
      const RowRequest row{.tag = 0,
                           .run = 1,
                           .probe = &attention_row(),
                           .step = generator.length() * (n_asked * 37 % 100) / 100,
                           .layer = layers[static_cast<size_t>(n_asked) % layers.size()]};
      expect_row_of(recall(rows, row, loop.ids(), request.batches), row, expected.published, config);
    });
    EXPECT_GT(n_asked, 10);
    EXPECT_EQ(disturbed.ids, expected.ids);
    ASSERT_EQ(disturbed.published.size(), expected.published.size());
    for (const auto& [key, values] : expected.published) {
      EXPECT_TRUE(same_bits(values, disturbed.published.at(key))) << key.first->name << " at " << key.second;
    }
    // And of the run that has ended: every step.
    for (int64_t step = generator.length() - 1; step >= 0; step -= 7) {
      const RowRequest row{.tag = 0, .run = 1, .probe = &attention_row(), .step = step, .layer = layers.back()};
      expect_row_of(recall(rows, row, disturbed.ids, request_of(opened).batches), row, expected.published, config);
    }
  }
}

TEST(RowRecall, TakesOneStepWhereTheCacheCanBeCutBackAndFewWhereStatesAreKept) {
  const auto n_fed = [](const char* model, size_t past_bytes) {
    const OpenedModel opened = open_tiny(model);
    Generator generator(opened.model, opened.kv);
    generator.keep_past(past_bytes);
    const WholeRun whole = run_all(opened, generator);
    RowRecall rows(generator);
    const RowRequest request{.tag = 0,
                             .run = 1,
                             .probe = &attention_row(),
                             .step = 141,
                             .layer = attention_row().layers(opened.model->config()).front()};
    EXPECT_TRUE(rows.begin(request, whole.ids, request_of(opened).batches));
    return rows.n_total();
  };
  EXPECT_EQ(n_fed("tiny-llama-a", 0), 1);
  EXPECT_EQ(n_fed("tiny-mistral", 0), 142) << "its windows have left their keys behind";
  EXPECT_EQ(n_fed("tiny-mistral", size_t{1} << 20), 1);
  EXPECT_EQ(n_fed("tiny-granite-hybrid", 0), 142);
  EXPECT_EQ(n_fed("tiny-granite-hybrid", size_t{16} << 20), 2) << "from the end of the prompt's last batch";
}

TEST(RowRecall, ImpliedRowsOfLaterStepsGoOnFromEarlierOnes) {
  const OpenedModel opened = open_tiny("tiny-granite-hybrid");
  const Probe& state_row = *find_probe("state.row");
  Generator generator(opened.model, opened.kv);
  generator.keep_past(size_t{16} << 20);
  const WholeRun whole = run_all(opened, generator);
  RowRecall rows(generator);
  const int32_t layer = state_row.layers(opened.model->config()).back();
  const auto request = [&](int64_t step) {
    return RowRequest{.tag = 0, .run = 1, .probe = &state_row, .step = step, .layer = layer};
  };
  const std::vector<std::pair<int64_t, int64_t>> batches = request_of(opened).batches;
  const Frame first = recall(rows, request(120), whole.ids, batches);
  EXPECT_EQ(rows.n_total(), 121);
  const Frame second = recall(rows, request(130), whole.ids, batches);
  EXPECT_EQ(rows.n_total(), 11);
  // A row of attention in between has a sequence of its own.
  const RowRequest attention{.tag = 0,
                             .run = 1,
                             .probe = &attention_row(),
                             .step = 60,
                             .layer = attention_row().layers(opened.model->config()).front()};
  expect_row_of(recall(rows, attention, whole.ids, batches), attention, whole.published, opened.model->config());
  (void)recall(rows, request(133), whole.ids, batches);
  EXPECT_EQ(rows.n_total(), 4);
  // The same as in one go, and as without the steps between.
  RowRecall fresh(generator);
  const Frame alone = recall(fresh, request(130), whole.ids, batches, 1000);
  EXPECT_TRUE(same_bits(second.values<float>(), alone.values<float>()));
  float most = 0;
  for (const float weight : alone.values<float>()) most = std::max(most, std::isnan(weight) ? 0 : std::abs(weight));
  EXPECT_GT(most, 1e-4f);
}

TEST_P(RowRecalls, OfARunThatNoGeneratorHoldsEqualAFullRecordingBitForBit) {
  const OpenedModel opened = open_tiny(GetParam());
  Generator generator(opened.model, opened.kv);
  const WholeRun whole = run_all(opened, generator);
  const std::vector<int32_t> layers = attention_row().layers(opened.model->config());
  RowRecall rows(opened.model, opened.kv, size_t{64} << 20);
  const int64_t last = std::ssize(whole.ids) - 2;  // the one behind it was drawn, not fed
  for (const int64_t step : {int64_t{90}, int64_t{12}, last, last - 20, int64_t{0}}) {
    const RowRequest row{.tag = 0, .run = 1, .probe = &attention_row(), .step = step, .layer = layers.back()};
    const int64_t n_held = rows.own_source()->length();
    expect_row_of(recall(rows, row, whole.ids, request_of(opened).batches), row, whole.published,
                  opened.model->config());
    EXPECT_EQ(rows.own_source()->length(), std::max(n_held, step + 1)) << "no token is fed to it twice";
    EXPECT_EQ(rows.n_done(), rows.n_total());
  }
}

TEST(RowRecall, ANewerRequestReplacesOneThatIsUnderWay) {
  const OpenedModel opened = open_tiny("tiny-granite-hybrid");
  const ModelConfig& config = opened.model->config();
  Generator generator(opened.model, opened.kv);
  const WholeRun whole = run_all(opened, generator);
  RowRecall rows(generator);
  RowRequest request{
      .tag = 0, .run = 1, .probe = &attention_row(), .step = 180, .layer = attention_row().layers(config).front()};
  const auto batches = request_of(opened).batches;
  ASSERT_TRUE(rows.begin(request, whole.ids, batches));
  ASSERT_TRUE(rows.go_on(50));
  request.step = 20;
  expect_row_of(recall(rows, request, whole.ids, batches), request, whole.published, config);
  request.step = 190;  // and the own sequence, which stands behind step 20, is gone on with
  expect_row_of(recall(rows, request, whole.ids, batches), request, whole.published, config);
  EXPECT_EQ(rows.n_total(), 171);
  request.step = 199;
  EXPECT_FALSE(rows.begin(request, whole.ids, batches)) << "sampled, but not fed";
}

}  // namespace
}  // namespace orrery
