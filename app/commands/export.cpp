// export: what was recorded of a probe, as an array in a file; with --recompute, what was not, too.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/session_run.h"
#include "app/export_rows.h"
#include "app/export_writer.h"
#include "app/rerun.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

using Ranges = std::vector<std::pair<int64_t, int64_t>>;

Result<const Probe*> probe_of(const Options& options, const ModelConfig& config) {
  const std::string name = options.text("--probe");
  std::string offered;
  for (const Probe* probe : offered_probes(config)) offered += (offered.empty() ? "" : ", ") + std::string(probe->name);
  const Probe* probe = find_probe(name);
  if (probe == nullptr) {
    return Error{ErrorCode::kNotFound,
                 "--probe: there is no probe of this name yet (there are " + offered + "): " + name};
  }
  if (!is_offered(*probe, config)) {
    const std::string lacks = probe->has_layers() ? "no layer of this model has it" : "this model does not have it";
    return Error{ErrorCode::kUnsupported, "--probe: " + lacks + " (it offers " + offered + "): " + name};
  }
  return probe;
}

// "0,3,5:8": of `available`; all of them where nothing is given.
Result<std::vector<int32_t>> chosen(const Options& options, std::string_view option,
                                    const std::vector<int32_t>& available) {
  if (!options.has(option)) return available;
  const std::string text = options.text(option);
  const auto wrong = [&](const std::string& why) {
    return Error{ErrorCode::kInvalidArgument, std::string(option) + " " + why + ": " + text};
  };
  std::vector<int32_t> ids;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    at = comma + 1;
    int32_t begin = 0;
    const char* end_of_part = part.data() + part.size();
    const auto first = std::from_chars(part.data(), end_of_part, begin);
    int32_t end = begin + 1;
    auto last = first;
    if (first.ec == std::errc() && first.ptr != end_of_part && *first.ptr == ':')
      last = std::from_chars(first.ptr + 1, end_of_part, end);
    if (first.ec != std::errc() || last.ec != std::errc() || last.ptr != end_of_part || end <= begin) {
      return wrong("takes numbers and half-open ranges, as in 0,3,5:8, not");
    }
    for (int32_t id = begin; id < end; ++id) {
      if (!std::ranges::binary_search(available, id)) {
        return wrong("names " + std::to_string(id) + ", which this probe does not have in this model (first " +
                     std::to_string(available.front()) + ", last " + std::to_string(available.back()) + ")");
      }
      ids.push_back(id);
    }
  }
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// The parts of [begin, end) that lie in none of `ranges` (ascending, disjoint).
Ranges outside(const Ranges& ranges, int64_t begin, int64_t end) {
  Ranges rest;
  for (const auto& [from, to] : ranges) {
    if (to <= begin || from >= end) continue;
    if (from > begin) rest.emplace_back(begin, from);
    begin = to;
  }
  if (begin < end) rest.emplace_back(begin, end);
  return rest;
}

bool within(const Ranges& ranges, int64_t step) {
  return std::ranges::any_of(ranges, [&](const auto& range) { return step >= range.first && step < range.second; });
}

Result<StepSpan> steps_of(const OpenedRun& run, const Options& options, const Ranges& recorded, const Probe& probe) {
  if (run.n_processed == 0 && !options.has("--recompute")) {
    return Error{ErrorCode::kNotFound,
                 "nothing was recorded in run " + std::to_string(run.record.run) + " of " + run.reader->path()};
  }
  if (options.has("--steps")) {
    ORRERY_ASSIGN_OR_RETURN(const StepSpan span, parse_span(options.text("--steps"), "--steps", run.n_processed));
    if (span.end <= run.n_processed) return span;
    return Error{ErrorCode::kInvalidArgument, "--steps goes beyond the run, which has steps 0:" +
                                                  std::to_string(run.n_processed) + ": " + options.text("--steps")};
  }
  if (options.has("--recompute") || recorded.empty()) {
    if (run.n_processed == 0 || (recorded.empty() && !options.has("--recompute"))) {
      return Error{ErrorCode::kNotFound, std::string(probe.name) +
                                             " was not recorded in this run; add --recompute to compute it from the "
                                             "model: " +
                                             run.reader->path()};
    }
    return StepSpan{.begin = 0, .end = run.n_processed};
  }
  return StepSpan{.begin = recorded.front().first, .end = recorded.back().second};
}

// The layers of the probe that are wanted, and which visits they stand for.
Result<void> choose_layers(const Options& options, const RunRecord& record, ExportShape& shape) {
  const ModelConfig& config = record.config;
  const auto layer_of = [&](int32_t visit) -> const LayerConfig& { return config.layers[static_cast<size_t>(visit)]; };
  const std::vector<int32_t> visits = shape.probe->layers(config);
  std::vector<int32_t> layers;
  for (const int32_t visit : visits) layers.push_back(layer_of(visit).index);
  std::ranges::sort(layers);
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  ORRERY_ASSIGN_OR_RETURN(shape.layers, chosen(options, "--layers", layers));
  shape.n_iterations = config.loop.any() ? config.loop.n_iterations : 0;
  const auto n_columns = static_cast<size_t>(std::max<int64_t>(shape.n_iterations, 1));
  shape.visits.assign(shape.layers.size() * n_columns, -1);
  for (const int32_t visit : visits) {
    const auto row = std::ranges::lower_bound(shape.layers, layer_of(visit).index);
    if (row == shape.layers.end() || *row != layer_of(visit).index) continue;
    const auto at = static_cast<size_t>(row - shape.layers.begin());
    shape.visits[at * n_columns + static_cast<size_t>(layer_of(visit).iteration)] = visit;
  }
  const ModelConfig own = rolled(config);
  for (const int32_t layer : shape.layers) {
    shape.layer_labels.push_back(config.loop.any() ? layer_label(own, layer)
                                                   : record.layer_labels[static_cast<size_t>(layer)]);
  }
  return {};
}

// Of recorded steps of rows, those that have all layers and heads that are wanted: between them only pinned heads may
// have been recorded.
Ranges with_all_heads(const Ranges& recorded, const TapSchedule& schedule, const ExportShape& shape) {
  if (!shape.probe->has_axis(Axis::kKey) || schedule.pins.empty()) return recorded;
  const auto lacks = [](const std::vector<int32_t>& has, const std::vector<int32_t>& wanted) {
    if (has.empty()) return false;
    return std::ranges::any_of(wanted, [&](int32_t id) { return id >= 0 && !std::ranges::binary_search(has, id); });
  };
  Ranges whole;
  for (const auto& [begin, end] : recorded) {
    for (int64_t step = begin; step < end;) {
      const int64_t next = std::min(schedule.next_change(step), end);
      const TapMask mask = schedule.mask_at(step);
      if (!lacks(mask.row_layers, shape.visits) && !lacks(mask.row_heads, shape.heads)) {
        if (!whole.empty() && whole.back().second == step) {
          whole.back().second = next;
        } else {
          whole.emplace_back(step, next);
        }
      }
      step = next;
    }
  }
  return whole;
}

struct Plan {
  ExportShape shape;
  Ranges recorded;  // within the steps
  Ranges missing;
};

Result<Plan> plan_export(OpenedRun& run, const Options& options) {
  Plan plan;
  ExportShape& shape = plan.shape;
  const ModelConfig& config = run.record.config;
  ORRERY_ASSIGN_OR_RETURN(shape.probe, probe_of(options, config));
  shape.run = run.record.run;
  ORRERY_ASSIGN_OR_RETURN(const Ranges all_recorded, run.reader->recorded_steps(*shape.probe, shape.run));
  ORRERY_ASSIGN_OR_RETURN(const StepSpan span, steps_of(run, options, all_recorded, *shape.probe));
  shape.step_begin = span.begin;
  shape.step_end = span.end;
  if (shape.probe->has_layers()) {
    ORRERY_RETURN_IF_ERROR(choose_layers(options, run.record, shape));
  } else if (options.has("--layers")) {
    return Error{ErrorCode::kInvalidArgument,
                 "--layers: this probe belongs to no layer: " + std::string(shape.probe->name)};
  }
  shape.inner = shape.probe->inner_shape(config, run.n_processed);
  if (shape.probe->has_axis(Axis::kHead)) {
    std::vector<int32_t> heads(static_cast<size_t>(shape.inner.front()));
    for (size_t i = 0; i < heads.size(); ++i) heads[i] = static_cast<int32_t>(i);
    ORRERY_ASSIGN_OR_RETURN(shape.heads, chosen(options, "--heads", heads));
    shape.inner.erase(shape.inner.begin());
  } else if (options.has("--heads")) {
    return Error{ErrorCode::kInvalidArgument, "--heads: this probe has no heads: " + std::string(shape.probe->name)};
  }
  // Without --recompute, what was recorded of some heads is better than nothing.
  const Ranges whole =
      options.has("--recompute") ? with_all_heads(all_recorded, run.record.settings.schedule, shape) : all_recorded;
  plan.missing = outside(whole, span.begin, span.end);
  plan.recorded = outside(plan.missing, span.begin, span.end);
  return plan;
}

nlohmann::json describe(const OpenedRun& run, const Plan& plan) {
  const ExportShape& shape = plan.shape;
  const Probe& probe = *shape.probe;
  nlohmann::json axes = nlohmann::json::array();
  const std::vector<int64_t> sizes = shape.shape();
  const std::vector<Axis> kinds = shape.axes();
  const ModelConfig own = rolled(run.record.config);
  for (size_t i = 0; i < kinds.size(); ++i) {
    nlohmann::json axis{{"name", axis_name(kinds[i])}, {"size", sizes[i]}};
    if (kinds[i] == Axis::kStep) axis["steps"] = {shape.step_begin, shape.step_end};
    if (kinds[i] == Axis::kLayer) axis["ids"] = shape.layers;
    if (kinds[i] == Axis::kLayer) axis["labels"] = shape.layer_labels;
    if (kinds[i] == Axis::kHead) axis["ids"] = shape.heads;
    if (kinds[i] == Axis::kHead && probe.size_in == state_heads_in) {
      for (const int32_t layer : shape.layers) {
        axis["of_layer"].push_back(state_heads_name(own.layers[static_cast<size_t>(layer)]));
      }
    }
    if (kinds[i] == Axis::kField || kinds[i] == Axis::kComponent) axis["labels"] = probe.fields;
    axes.push_back(axis);
  }
  return {{"probe", probe.name},
          {"description", probe.description},
          {"run", run.record.run},
          {"model", run.record.model_name},
          {"axes", axes},
          {"shape", sizes},
          {"layers", shape.layers},
          {"unit", probe.unit},
          {"dtype", dtype_name(probe.dtype)},
          {"exact", probe.exact},
          {"rounded_to",
           probe.fraction_bits == 0 ? nlohmann::json(nullptr) : nlohmann::json(std::ldexp(1.0, -probe.fraction_bits))},
          {"greatest_rounding_error", probe.fraction_bits == 0 ? 0.0 : std::ldexp(0.5, -probe.fraction_bits)},
          {"level", level_name(probe.level)},
          {"recorded_steps", plan.recorded},
          {"missing_steps", plan.missing}};
}

// Hands rows to the writer in order of step, whoever has them: the session, a re-run, or no one.
class RowFeed {
 public:
  RowFeed(OpenedRun& run, const Plan& plan, ExportWriter& writer)
      : run_(run), plan_(plan), writer_(writer), rows_(plan.shape), next_(plan.shape.step_begin) {}

  // Everything up to `end` that the session has; what neither has is missing.
  Result<void> recorded_until(int64_t end) {
    if (next_ >= end) return {};
    Result<void> written;
    ORRERY_RETURN_IF_ERROR(
        run_.reader->for_each_frame(*plan_.shape.probe, plan_.shape.run, next_, end, 0, [&](const Frame& frame) {
          written = missing_until(frame.step_begin);
          for (int64_t step = frame.step_begin; written && step < frame.step_end; ++step) written = write(frame, step);
          return written.has_value() && !interrupted();
        }));
    if (!written) return written.error();
    if (interrupted()) return Error{ErrorCode::kCancelled, "interrupted; nothing was written"};
    return missing_until(end);
  }

  // Steps of a recomputed frame, but for those that were recorded.
  Result<void> recomputed(const Frame& frame) {
    for (int64_t step = std::max(frame.step_begin, next_); step < frame.step_end; ++step) {
      if (within(plan_.recorded, step)) {
        ORRERY_RETURN_IF_ERROR(recorded_until(step + 1));
      } else {
        ORRERY_RETURN_IF_ERROR(write(frame, step));
      }
    }
    return {};
  }

 private:
  Result<void> write(const Frame& frame, int64_t step) {
    CHECK(step == next_);
    ++next_;
    return writer_.row(step, rows_.row(frame, step));
  }
  Result<void> missing_until(int64_t end) {
    for (; next_ < end; ++next_) ORRERY_RETURN_IF_ERROR(writer_.row(next_, rows_.missing_row()));
    return {};
  }

  OpenedRun& run_;
  const Plan& plan_;
  ExportWriter& writer_;
  ExportRows rows_;
  int64_t next_;
};

Result<void> recompute_missing(OpenedRun& run, const Plan& plan, const Options& options,
                               const std::vector<Token>& tokens, RowFeed& feed) {
  ORRERY_ASSIGN_OR_RETURN(const OpenedModel opened, open_recorded_model(run.record, options));
  ExtraTaps taps;
  taps.mask.probes = {plan.shape.probe};
  taps.mask.row_layers = plan.shape.visits;
  std::erase(taps.mask.row_layers, -1);
  taps.mask.row_heads = plan.shape.heads;
  taps.begin = plan.missing.front().first;
  taps.end = plan.missing.back().second;
  ORRERY_RETURN_IF_ERROR(feed.recorded_until(taps.begin));
  RunControl control;
  control.watch(&interrupted());
  const CheckpointSource source{
      .reader = *run.reader, .record = run.record, .say = [](const std::string& what) { say("recomputing: " + what); }};
  ORRERY_RETURN_IF_ERROR(recompute(
      opened, run.record.run, tokens, taps, [&](const Frame& frame) { return feed.recomputed(frame); },
      show_rerun_progress, control, &source));
  show_progress({});
  return {};
}

CommandResult run_export(OpenedRun& run, const Plan& plan, const Options& options) {
  const std::string out = options.text("--out");
  ORRERY_RETURN_IF_ERROR(check_out(out, run.reader->path()));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Token> tokens, run.reader->tokens(run.record.run));
  const bool recomputing = options.has("--recompute") && !plan.missing.empty();
  if (plan.recorded.empty() && !recomputing) {
    return Error{ErrorCode::kNotFound, std::string(plan.shape.probe->name) + " was not recorded for steps " +
                                           ranges_text(plan.missing) +
                                           "; add --recompute to compute it from the model: " + run.reader->path()};
  }
  ExportSources sources;
  (recomputing ? sources.recomputed : sources.missing) = plan.missing;
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<ExportWriter> writer,
                          ExportWriter::create(out, plan.shape, sources, tokens));
  RowFeed feed(run, plan, *writer);
  if (recomputing) ORRERY_RETURN_IF_ERROR(recompute_missing(run, plan, options, tokens, feed));
  ORRERY_RETURN_IF_ERROR(feed.recorded_until(plan.shape.step_end));
  ORRERY_RETURN_IF_ERROR(writer->finish());
  if (!plan.recorded.empty()) say("recorded steps: " + ranges_text(plan.recorded));
  if (recomputing)
    say("recomputed steps: " + ranges_text(plan.missing));
  else if (!plan.missing.empty())
    say("not recorded, left empty (--recompute computes them): steps " + ranges_text(plan.missing));
  return 0;
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  if (options.has("--out") == options.has("--describe"))
    return usage_error("export", "takes either --out or --describe");
  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(OpenedRun run, open_run(options));
  ORRERY_ASSIGN_OR_RETURN(const Plan plan, plan_export(run, options));
  if (options.has("--describe")) {
    print_json(describe(run, plan));
    return 0;
  }
  return run_export(run, plan, options);
}

}  // namespace

const CommandSpec& export_command() {
  using Kind = OptionSpec::Kind;
  static const CommandSpec kSpec{
      .name = "export",
      .summary = "Writes what was recorded of a probe as NPY, CSV or JSON",
      .details =
          "Axes are those of the probe's definition, outermost first; `orrery info` lists what a session has. "
          "--recompute feeds the recorded tokens through the model again for the steps that were not recorded, "
          "and says which. Missing values are NaN, -1 where they are ids, nothing in CSV, null in JSON.",
      .example =
          "  orrery export sky.orrery --probe attention.entropy --out entropy.npy\n"
          "  orrery export sky.orrery --probe attention.row --steps 0:16 --layers 3 --recompute --out rows.npy",
      .options = with_model_options(
          {{.kind = Kind::kPositional, .name = "SESSION", .value = "", .help = "The session", .required = true},
           {.name = "--probe", .value = "NAME", .help = "Which probe, as in attention.entropy", .required = true},
           {.name = "--run", .value = "R", .help = "Which run (default: the last)", .type = OptionSpec::Type::kInteger},
           {.name = "--steps",
            .value = "A:B",
            .help = "Steps A up to B (default: what was recorded; with --recompute all)"},
           {.name = "--layers", .value = "0,3,5:8", .help = "These layers only"},
           {.name = "--heads", .value = "0,3,5:8", .help = "These heads only"},
           {.kind = Kind::kFlag,
            .name = "--recompute",
            .value = "",
            .help = "Compute from the model what was not recorded"},
           {.kind = Kind::kFlag,
            .name = "--describe",
            .value = "",
            .help = "Print axes, layers, unit, exactness as JSON; write nothing"},
           {.name = "--out", .value = "F.npy|csv|json", .help = "The file to write"}},
          DefaultModel::kRecorded),
      .run = run};
  return kSpec;
}

}  // namespace orrery
