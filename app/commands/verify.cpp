// verify: runs a recording again and compares every frame.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/session_run.h"
#include "app/rerun.h"

namespace orrery {
namespace {

std::string number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.9g", value);
  return buffer;
}

std::string tolerance_text(const Probe& probe) {
  const Tolerance tolerance = tolerance_of(probe);
  if (tolerance.absolute == 0 && tolerance.relative == 0) return "none";
  return number(tolerance.absolute) + " + " + number(tolerance.relative) + " of the value";
}

std::string difference_text(const FrameDifference& difference) {
  std::string text = std::string(difference.probe->name) + ", step " + std::to_string(difference.step);
  if (difference.layer >= 0) text += ", layer " + std::to_string(difference.layer);
  if (difference.head >= 0) text += ", head " + std::to_string(difference.head);
  if (difference.shape) return text + ": recorded with other layers, heads or sizes";
  return text + ", value " + std::to_string(difference.index) + ": recorded " + number(difference.recorded) + ", now " +
         number(difference.recomputed);
}

nlohmann::json report_json(const OpenedRun& run, const VerifyReport& report) {
  nlohmann::json probes = nlohmann::json::array();
  for (const auto& [name, totals] : report.frames.totals()) {
    const Tolerance tolerance = tolerance_of(*find_probe(name));
    probes.push_back({{"name", name},
                      {"steps", totals.n_steps},
                      {"values", totals.n_values},
                      {"other_bits", totals.n_other_bits},
                      {"greatest_difference", totals.greatest_difference},
                      {"tolerance", {{"absolute", tolerance.absolute}, {"relative", tolerance.relative}}}});
  }
  nlohmann::json object{{"run", run.record.run},
                        {"passed", report.passed()},
                        {"bit_identical", report.bit_identical()},
                        {"bits_expected", report.bits_expected()},
                        {"other_conditions", report.other_conditions},
                        {"steps", report.n_steps},
                        {"values", report.frames.n_values()},
                        {"probes", probes},
                        {"sampled_tokens", report.n_sampled},
                        {"sampled_otherwise", report.n_sampled_other},
                        {"not_compared", report.unknown_probes},
                        {"first_difference", nullptr}};
  if (const auto& first = report.frames.first_difference()) {
    object["first_difference"] = {{"probe", first->probe->name},     {"step", first->step},
                                  {"layer", first->layer},           {"head", first->head},
                                  {"index", first->index},           {"recorded", first->recorded},
                                  {"recomputed", first->recomputed}, {"text", difference_text(*first)}};
  }
  return object;
}

void say_report(const OpenedRun& run, const VerifyReport& report) {
  const std::string what = "run " + std::to_string(run.record.run) + ", " + std::to_string(report.n_steps) +
                           " steps, " + std::to_string(report.frames.n_values()) + " values of " +
                           std::to_string(report.frames.totals().size()) + " probes";
  for (const std::string& condition : report.other_conditions) say(condition);
  if (report.bit_identical()) {
    say("bit-identical: " + what);
  } else if (report.passed()) {
    say("within the tolerances, not bit-identical: " + what);
    for (const auto& [name, totals] : report.frames.totals()) {
      if (totals.n_other_bits == 0) continue;
      say("  " + name + ": greatest difference " + number(totals.greatest_difference) + ", tolerance " +
          tolerance_text(*find_probe(name)));
    }
  } else {
    say("different: " + what);
  }
  if (const auto& first = report.frames.first_difference()) {
    say("first difference: " + difference_text(*first) + ", tolerance " +
        (report.bits_expected() ? "none" : tolerance_text(*first->probe)));
  }
  if (report.n_sampled_other > 0) {
    say("tokens drawn otherwise with the same seed: " + std::to_string(report.n_sampled_other) + " of " +
        std::to_string(report.n_sampled) + ", the first at step " + std::to_string(report.first_sampled_other));
  }
  for (const std::string& name : report.unknown_probes) say("not compared, as this build does not know it: " + name);
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(const OpenedRun run, open_run(options));
  ORRERY_ASSIGN_OR_RETURN(const OpenedModel opened, open_recorded_model(run.record, options));
  RunControl control;
  control.watch(&interrupted());
  ORRERY_ASSIGN_OR_RETURN(const VerifyReport report,
                          verify_run(*run.reader, run.record, opened, show_rerun_progress, control));
  show_progress({});
  if (options.has("--json")) {
    print_json(report_json(run, report));
  } else {
    say_report(run, report);
  }
  return report.passed() ? 0 : 1;
}

}  // namespace

const CommandSpec& verify_command() {
  using Kind = OptionSpec::Kind;
  static const CommandSpec kSpec{
      .name = "verify",
      .summary = "Runs a recording again and compares every frame",
      .details =
          "Bit for bit where backend, instruction set, build and settings are those of the recording, within "
          "stated tolerances elsewhere. Prints the first difference and ends with status 1 where there is one.",
      .example = "  orrery verify sky.orrery\n  orrery verify sky.orrery --run 2 --model smollm2-135m --json",
      .options = with_model_options(
          {{.kind = Kind::kPositional, .name = "SESSION", .value = "", .help = "The session", .required = true},
           {.name = "--run", .value = "R", .help = "Which run (default: the last)", .type = OptionSpec::Type::kInteger},
           {.kind = Kind::kFlag, .name = "--json", .value = "", .help = "Prints one JSON object"}},
          DefaultModel::kRecorded),
      .run = run};
  return kSpec;
}

}  // namespace orrery
