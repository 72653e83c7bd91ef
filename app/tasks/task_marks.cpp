#include "app/tasks/task_marks.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "engine/generator.h"
#include "probes/model_axes.h"
#include "probes/tap_mask.h"

namespace orrery {
namespace {

using Clock = std::chrono::steady_clock;

// A case in a model's ids: answer i is the token at places[i].
struct TokenCase {
  std::vector<int32_t> ids;
  std::vector<size_t> places;
};

Result<TokenCase> tokens_of(const TaskCase& given, const Task& task, const Tokenizer& tokenizer) {
  TokenCase out;
  ORRERY_ASSIGN_OR_RETURN(out.ids, tokenizer.encode(given.text, EncodeOptions::plain()));
  size_t byte = 0, answer = 0;
  for (size_t i = 0; i < out.ids.size(); ++i) {
    const size_t end = byte + tokenizer.token_bytes(out.ids[i]).size();
    if (answer < given.answers.size() && given.answers[answer].begin == byte && given.answers[answer].end == end) {
      out.places.push_back(i);
      ++answer;
    }
    byte = end;
  }
  if (byte == given.text.size() && answer == given.answers.size()) return out;
  return Error{ErrorCode::kInvalidArgument,
               "This model's vocabulary does not have every answer of the task as a token of "
               "its own, so it cannot be marked: " +
                   std::string(task.name)};
}

// The ids among which the likeliest is the answer; empty: all.
Result<std::vector<int32_t>> choices_of(const Task& task, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const std::string_view choice : task.choices) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> spelled, tokenizer.encode(choice, EncodeOptions::plain()));
    if (spelled.size() != 1) {
      return Error{ErrorCode::kInvalidArgument, "This model's vocabulary has no token of its own for an answer of " +
                                                    std::string(task.name) + ": " + std::string(choice)};
    }
    ids.push_back(spelled.front());
  }
  return ids;
}

int32_t likeliest(std::span<const float> logits, std::span<const int32_t> among) {
  if (among.empty()) return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
  return *std::ranges::max_element(among, {}, [&](int32_t id) { return logits[static_cast<size_t>(id)]; });
}

double nats_of(std::span<const float> logits, int32_t id) {
  const auto highest = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - highest);
  return highest + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(id)]);
}

// Reads cases and keeps the tallies.
class Marker {
 public:
  Marker(const OpenedModel& opened, MarksReport& report)
      : opened_(opened), report_(report), generator_(opened.model, opened.kv) {
    const ModelConfig& config = opened.model->config();
    TapMask mask;
    for (const char* name : {"loop.depth", "moe.experts"}) mask.probes.insert(find_probe(name));
    plan_ = compile(mask, config);
    if (has_loop(config)) report_.n_iterations = config.loop.n_iterations;
    const size_t n_classes = all_tasks().size() - 1 + story_domains().size();
    for (const int32_t layer : moe_layers(config)) {
      const auto n_experts = static_cast<size_t>(config.layers[static_cast<size_t>(layer)].moe.router.n_experts);
      report_.experts.push_back({layer, std::vector(n_classes, std::vector<int64_t>(n_experts, 0))});
    }
  }

  Result<void> read(const Task& task, const TaskCase& given, std::span<const int32_t> choices, TaskMarks& marks) {
    ORRERY_ASSIGN_OR_RETURN(const TokenCase tokens, tokens_of(given, task, *opened_.tokenizer));
    generator_.reset();
    const Clock::time_point began = Clock::now();
    const auto fed = generator_.feed(tokens.ids, plan_, LogitsWanted::kAll);
    if (!fed) return fed.error();
    report_.seconds += std::chrono::duration<double>(Clock::now() - began).count();
    report_.n_tokens += static_cast<int64_t>(tokens.ids.size());
    ++marks.n_cases;
    for (int64_t row = 0; row < (*fed).n_rows; ++row) report_.sum_depth += depth_of(row);
    count_experts(class_of(task, given), (*fed).n_rows);
    for (size_t i = 0; i < given.answers.size(); ++i) {
      if (tokens.places[i] == 0) continue;  // nothing was read before it
      const auto row = static_cast<int64_t>(tokens.places[i]) - 1;
      tally(task, given.answers[i], tokens.ids[tokens.places[i]], (*fed).row_span(row), row, choices, marks);
    }
    return {};
  }

 private:
  void tally(const Task& task, const TaskAnswer& answer, int32_t right, std::span<const float> logits, int64_t row,
             std::span<const int32_t> choices, TaskMarks& marks) {
    const Tally one{.n_answers = 1,
                    .n_right = likeliest(logits, choices) == right ? 1 : 0,
                    .sum_depth = depth_of(row),
                    .nats = nats_of(logits, right),
                    .floor = answer.floor};
    marks.all.add(one);
    for (size_t i = 0; i < task.labels.size(); ++i) {
      const LabelRange& range = task.labels[i];
      if (answer.label >= range.least && answer.label <= range.greatest) marks.by_label[i].add(one);
    }
  }

  int64_t depth_of(int64_t row) const {
    const StatSlot slot = generator_.probes().host_slot(Quantity::kLoopDepth);
    return slot ? *reinterpret_cast<const int32_t*>(slot.row(row)) : 0;
  }

  static size_t class_of(const Task& task, const TaskCase& given) {
    const auto index = static_cast<size_t>(&task - all_tasks().data());
    return given.domain < 0 ? index : all_tasks().size() - 1 + static_cast<size_t>(given.domain);
  }

  void count_experts(size_t of_class, int64_t n_rows) {
    const std::vector<LayerConfig>& layers = opened_.model->config().layers;
    for (ExpertUse& use : report_.experts) {
      const LayerConfig& layer = layers[static_cast<size_t>(use.layer)];
      const StatSlot slot = generator_.probes().host_slot(Quantity::kMoeExperts, use.layer);
      for (int64_t row = 0; row < n_rows; ++row) {
        if (layer.iteration > 0 && layer.iteration >= depth_of(row)) continue;  // it had left
        const auto* chosen = reinterpret_cast<const int32_t*>(slot.row(row));
        for (int32_t k = 0; k < layer.moe.router.n_chosen; ++k) {
          ++use.chosen[of_class][static_cast<size_t>(chosen[k])];
        }
      }
    }
  }

  const OpenedModel& opened_;
  MarksReport& report_;
  Generator generator_;
  ProbePlan plan_;
};

// Holds the gate against what would have been said at every depth: reads cases without early exits.
class GateMarker {
 public:
  GateMarker(const OpenedModel& opened, MarksReport& report)
      : opened_(opened), report_(report), generator_(opened.model, opened.kv) {
    TapMask mask;
    for (const char* name : {"loop.exit", "lens.top"}) mask.probes.insert(find_probe(name));
    plan_ = compile(mask, opened.model->config());
    report_.exits.resize(kExitBins);
  }

  Result<void> read(const Task& task, const TaskCase& given) {
    ORRERY_ASSIGN_OR_RETURN(const TokenCase tokens, tokens_of(given, task, *opened_.tokenizer));
    generator_.reset();
    const auto fed = generator_.feed(tokens.ids, plan_, LogitsWanted::kNone);
    if (!fed) return fed.error();
    for (const size_t place : tokens.places) {
      if (place > 0) note(static_cast<int64_t>(place) - 1, tokens.ids[place]);
    }
    return {};
  }

 private:
  void note(int64_t row, int32_t right) {
    const LoopConfig& loop = opened_.model->config().loop;
    const auto* const exit =
        reinterpret_cast<const float*>(generator_.probes().host_slot(Quantity::kLoopExit).row(row));
    double stopped = 0.0;
    for (int32_t i = 0; i + 1 < loop.n_iterations; ++i) {
      stopped += static_cast<double>(exit[i]);
      const int32_t visit = loop.begin + (i + 1) * (loop.end - loop.begin) - 1;  // the last layer of the iteration
      const auto* const said =
          reinterpret_cast<const float*>(generator_.probes().host_slot(Quantity::kLensTop, visit).row(row));
      const int bin = std::clamp(static_cast<int>(stopped * kExitBins), 0, kExitBins - 1);
      ExitBin& of = report_.exits[static_cast<size_t>(bin)];
      ++of.n;
      of.sum_probability += stopped;
      if (static_cast<int32_t>(said[0]) == right) ++of.n_right;
    }
  }

  const OpenedModel& opened_;
  MarksReport& report_;
  Generator generator_;
  ProbePlan plan_;
};

}  // namespace

void Tally::add(const Tally& other) {
  n_answers += other.n_answers;
  n_right += other.n_right;
  sum_depth += other.sum_depth;
  nats += other.nats;
  floor += other.floor;
}

Result<MarksReport> mark(const OpenedModel& opened, const OpenedModel* all_iterations, const MarksRequest& request,
                         const std::function<bool(int64_t, int64_t)>& go_on) {
  if (opened.tokenizer == nullptr) {
    return Error{ErrorCode::kInvalidArgument,
                 "The tasks are text, and this model has no tokenizer: " + opened.file->path()};
  }
  MarksReport report;
  Marker marker(opened, report);
  std::optional<GateMarker> gate;
  if (all_iterations != nullptr && has_loop_gate(all_iterations->model->config()))
    gate.emplace(*all_iterations, report);
  const int64_t n_all = request.n_cases * static_cast<int64_t>(request.tasks.size());
  int64_t n_done = 0;
  for (const Task* task : request.tasks) {
    // Each task has numbers of its own, so that one alone gets the cases that it gets among all.
    TaskRandom random(request.seed * all_tasks().size() + static_cast<uint64_t>(task - all_tasks().data()));
    TaskMarks marks;
    marks.task = task;
    marks.by_label.resize(task->labels.size());
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> choices, choices_of(*task, *opened.tokenizer));
    for (int64_t i = 0; i < request.n_cases; ++i) {
      if (!go_on(n_done++, n_all)) return Error{ErrorCode::kCancelled, "interrupted before all cases were read"};
      const TaskCase given = task->make(random, i);
      ORRERY_RETURN_IF_ERROR(marker.read(*task, given, choices, marks));
      if (gate && !task->is_text && task->choices.empty()) ORRERY_RETURN_IF_ERROR(gate->read(*task, given));
    }
    report.tasks.push_back(std::move(marks));
  }
  return report;
}

double information(const std::vector<std::vector<int64_t>>& chosen) {
  const auto entropy = [](const std::vector<double>& shares) {
    double nats = 0.0;
    for (const double p : shares) nats -= p > 0 ? p * std::log(p) : 0.0;
    return nats;
  };
  std::vector<double> mean;
  double within = 0.0;
  size_t n_classes = 0;
  for (const std::vector<int64_t>& of_class : chosen) {
    double sum = 0.0;
    for (const int64_t n : of_class) sum += static_cast<double>(n);
    if (sum == 0) continue;
    ++n_classes;
    mean.resize(of_class.size(), 0.0);
    std::vector<double> shares;
    for (size_t e = 0; e < of_class.size(); ++e) {
      shares.push_back(static_cast<double>(of_class[e]) / sum);
      mean[e] += shares.back();
    }
    within += entropy(shares);
  }
  if (n_classes == 0) return 0.0;
  for (double& p : mean) p /= static_cast<double>(n_classes);
  return entropy(mean) - within / static_cast<double>(n_classes);
}

}  // namespace orrery
