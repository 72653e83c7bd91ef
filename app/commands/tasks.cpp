// tasks: how well a model does the tasks of app/tasks, on cases that nobody has seen.
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/loop_options.h"
#include "app/commands/model_options.h"
#include "app/tasks/task_marks.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

using nlohmann::json;

json tally_json(const Tally& tally, const Task& task, bool has_loop) {
  json object{{"answers", tally.n_answers}, {"accuracy", tally.accuracy()}, {"nats", tally.mean_nats()}};
  if (task.is_text) object["floor_nats"] = tally.mean_floor();
  if (has_loop) object["mean_depth"] = tally.mean_depth();
  return object;
}

// The rows of an expert's table: tasks, the text's domains apart.
std::vector<std::string> class_names() {
  std::vector<std::string> names;
  for (const Task& task : all_tasks()) {
    if (!task.is_text) names.emplace_back(task.name);
  }
  for (const std::string_view domain : story_domains()) names.emplace_back(domain);
  return names;
}

// The domains' choices as one class beside the tasks, or apart.
std::vector<std::vector<int64_t>> of_tasks(const ExpertUse& use) {
  const size_t n_letters = use.chosen.size() - story_domains().size();
  std::vector<std::vector<int64_t>> out(use.chosen.begin(),
                                        use.chosen.begin() + static_cast<std::ptrdiff_t>(n_letters));
  std::vector<int64_t> story(use.chosen.front().size(), 0);
  for (size_t i = n_letters; i < use.chosen.size(); ++i) {
    for (size_t e = 0; e < story.size(); ++e) story[e] += use.chosen[i][e];
  }
  out.push_back(std::move(story));
  return out;
}
std::vector<std::vector<int64_t>> of_domains(const ExpertUse& use) {
  return {use.chosen.end() - static_cast<std::ptrdiff_t>(story_domains().size()), use.chosen.end()};
}

json experts_json(const MarksReport& report, const ModelConfig& config) {
  json layers = json::array();
  const std::vector<std::string> names = class_names();
  for (const ExpertUse& use : report.experts) {
    json shares = json::object();
    for (size_t i = 0; i < use.chosen.size(); ++i) shares[names[i]] = use.chosen[i];
    layers.push_back({{"layer", use.layer},
                      {"label", layer_label(config, use.layer)},
                      {"task_information_nats", information(of_tasks(use))},
                      {"domain_information_nats", information(of_domains(use))},
                      {"chosen", std::move(shares)}});
  }
  return layers;
}

json report_json(const MarksReport& report, const MarksRequest& request, const OpenedModel& opened) {
  const bool loops = report.n_iterations > 0;
  json object{{"model", opened.file->name()},
              {"backend", opened.model->backend()->name()},
              {"seed", request.seed},
              {"cases", request.n_cases},
              {"tasks", json::object()}};
  for (const TaskMarks& marks : report.tasks) {
    json one = tally_json(marks.all, *marks.task, loops);
    one["cases"] = marks.n_cases;
    for (size_t i = 0; i < marks.by_label.size(); ++i) {
      if (marks.by_label[i].n_answers == 0) continue;
      json part = tally_json(marks.by_label[i], *marks.task, loops);
      part["label"] = marks.task->labels[i].name;
      one["by"].push_back(std::move(part));
    }
    object["tasks"][std::string(marks.task->name)] = std::move(one);
  }
  if (loops) {
    const double most = static_cast<double>(report.n_tokens * report.n_iterations);
    object["loop"] = {{"iterations", report.n_iterations},
                      {"mean_depth", static_cast<double>(report.sum_depth) / static_cast<double>(report.n_tokens)},
                      {"iterations_saved", 1.0 - static_cast<double>(report.sum_depth) / most}};
    for (const ExitBin& bin : report.exits) {
      if (bin.n == 0) continue;
      const auto n = static_cast<double>(bin.n);
      object["loop"]["calibration"].push_back({{"answers", bin.n},
                                               {"probability", bin.sum_probability / n},
                                               {"accuracy", static_cast<double>(bin.n_right) / n}});
    }
  }
  if (!report.experts.empty()) object["experts"] = experts_json(report, opened.model->config());
  object["tokens"] = report.n_tokens;
  object["tokens_per_s"] = static_cast<double>(report.n_tokens) / report.seconds;
  return object;
}

std::string number(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

void say_row(const std::string& name, const Tally& tally, const Task& task, bool loops) {
  std::string line = "  " + name + std::string(name.size() < 20 ? 20 - name.size() : 1, ' ');
  line += task.is_text ? number(tally.mean_nats(), 3) + " nats, floor " + number(tally.mean_floor(), 3)
                       : number(100 * tally.accuracy(), 2) + " %";
  if (loops) line += ", depth " + number(tally.mean_depth(), 2);
  say(line + ", " + std::to_string(tally.n_answers) + " answers");
}

void say_report(const MarksReport& report, const OpenedModel& opened) {
  const bool loops = report.n_iterations > 0;
  for (const TaskMarks& marks : report.tasks) {
    say(std::string(marks.task->name) + ": " + std::string(marks.task->summary));
    say_row("all", marks.all, *marks.task, loops);
    for (size_t i = 0; i < marks.by_label.size(); ++i) {
      if (marks.by_label[i].n_answers > 0) {
        say_row(std::string(marks.task->labels[i].name), marks.by_label[i], *marks.task, loops);
      }
    }
  }
  if (loops) {
    const double mean = static_cast<double>(report.sum_depth) / static_cast<double>(report.n_tokens);
    say("loop: " + number(mean, 2) + " of " + std::to_string(report.n_iterations) + " iterations a token; " +
        number(100 * (1 - mean / static_cast<double>(report.n_iterations)), 1) + " % saved by exits");
    for (const ExitBin& bin : report.exits) {
      if (bin.n == 0) continue;
      const auto n = static_cast<double>(bin.n);
      say("  stopped by then with probability " + number(bin.sum_probability / n, 3) + ": right in " +
          number(100 * static_cast<double>(bin.n_right) / n, 2) + " % of " + std::to_string(bin.n));
    }
  }
  const std::vector<std::string> names = class_names();
  for (const ExpertUse& use : report.experts) {
    say(layer_label(opened.model->config(), use.layer) + ": what knowing the task tells of the expert " +
        number(information(of_tasks(use)), 2) + " nats, the domain " + number(information(of_domains(use)), 2) +
        "; choices in %:");
    for (size_t i = 0; i < use.chosen.size(); ++i) {
      int64_t sum = 0;
      for (const int64_t n : use.chosen[i]) sum += n;
      if (sum == 0) continue;
      std::string line = "  " + names[i] + std::string(names[i].size() < 10 ? 10 - names[i].size() : 1, ' ');
      for (const int64_t n : use.chosen[i]) {
        const std::string share = number(100.0 * static_cast<double>(n) / static_cast<double>(sum), 0);
        line += std::string(share.size() < 4 ? 4 - share.size() : 1, ' ') + share;
      }
      say(line);
    }
  }
  say(std::to_string(report.n_tokens) + " tokens at " +
      number(static_cast<double>(report.n_tokens) / report.seconds, 0) + " tokens/s");
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  catch_interrupts();
  MarksRequest request;
  request.n_cases = options.integer("--cases", request.n_cases);
  if (request.n_cases < 1 || request.n_cases > 10'000'000) {
    return Error{ErrorCode::kInvalidArgument,
                 "--cases takes a number from 1 to 10000000, not: " + std::to_string(request.n_cases)};
  }
  request.seed = static_cast<uint64_t>(options.integer("--seed", 0));
  for (const std::string& name : options.all("--task")) {
    ORRERY_ASSIGN_OR_RETURN(const Task* task, find_task(name));
    request.tasks.push_back(task);
  }
  if (request.tasks.empty()) {
    for (const Task& task : all_tasks()) request.tasks.push_back(&task);
  }
  if (options.has("--print")) {
    for (const Task* task : request.tasks) {
      TaskRandom random(request.seed * all_tasks().size() + static_cast<uint64_t>(task - all_tasks().data()));
      for (int64_t i = 0; i < request.n_cases; ++i) {
        if (!print(task->make(random, i).text + "\n")) return 0;
      }
    }
    return 0;
  }
  ModelChoice choice = model_choice(options);
  ORRERY_ASSIGN_OR_RETURN(choice.loop, loop_request(options));
  ORRERY_ASSIGN_OR_RETURN(const OpenedModel opened, open_chosen_model(choice));
  std::optional<OpenedModel> all_iterations;
  if (has_loop_gate(opened.model->config())) {
    choice.loop.exit = LoopRequest::Exit{.rule = ExitRule::kFixed};
    ORRERY_ASSIGN_OR_RETURN(all_iterations, open_chosen_model(choice));
  }
  const auto go_on = [](int64_t done, int64_t all) {
    if (done % 32 == 0) show_progress("tasks: " + std::to_string(done) + " of " + std::to_string(all) + " cases");
    return !interrupted();
  };
  ORRERY_ASSIGN_OR_RETURN(const MarksReport report,
                          mark(opened, all_iterations ? &*all_iterations : nullptr, request, go_on));
  show_progress({});
  if (options.has("--json")) {
    print_json(report_json(report, request, opened));
  } else {
    say_report(report, opened);
  }
  return 0;
}

}  // namespace

const CommandSpec& tasks_command() {
  static const CommandSpec kSpec{
      .name = "tasks",
      .summary = "Marks a model at recalling, copying, hopping, brackets and sentences",
      .details =
          "Makes fresh cases of five tasks in letters and words, reads them with the engine, and "
          "prints how many answers are right, how deep the loop went for them, which experts each task and domain "
          "uses, and how far the gate's probabilities can be trusted. The same seed makes the same cases everywhere. "
          "--exit fixed marks it without early exits.",
      .example = "  orrery tasks --task hops --cases 1000\n  orrery tasks --task recall --cases 3 --print",
      .options = with_model_options(
          with_loop_options(
              {{.kind = OptionSpec::Kind::kRepeated,
                .name = "--task",
                .value = "NAME",
                .help = "recall, copy, hops, brackets, story; again for another one (default: all)"},
               {.name = "--cases",
                .value = "N",
                .help = "Cases of each task (default 256)",
                .type = OptionSpec::Type::kInteger},
               {.name = "--seed", .value = "S", .help = "Which cases (default 0)", .type = OptionSpec::Type::kInteger},
               {.kind = OptionSpec::Kind::kFlag,
                .name = "--print",
                .value = "",
                .help = "Print the cases' text, a line each, and read none"},
               {.kind = OptionSpec::Kind::kFlag, .name = "--json", .value = "", .help = "One JSON object on stdout"}}),
          DefaultModel::kEmbedded),
      .run = run};
  return kSpec;
}

}  // namespace orrery
