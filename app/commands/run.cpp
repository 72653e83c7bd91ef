// run: generates, streams the text, and records where asked to.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/model_options.h"
#include "app/prompt.h"
#include "app/recorded_run.h"
#include "app/run_loop.h"

namespace orrery {
namespace {

Result<void> refuse_what_comes_later(const Options& options) {
  for (const char* name : {"--edit", "--loops", "--loop-layers"}) {
    if (!options.has(name)) continue;
    const std::string what = std::string_view(name) == "--edit" ? "edits of a run" : "looped models";
    return Error{ErrorCode::kUnsupported,
                 what + " are not there yet; leave out " + name + " " + options.all(name).front()};
  }
  return {};
}

SamplerSettings sampler_settings(const Options& options) {
  SamplerSettings settings;
  settings.temperature = options.number("--temperature", settings.temperature);
  settings.top_k =
      static_cast<int32_t>(std::clamp<int64_t>(options.integer("--top-k", settings.top_k), INT32_MIN, INT32_MAX));
  settings.top_p = options.number("--top-p", settings.top_p);
  settings.min_p = options.number("--min-p", settings.min_p);
  settings.repeat_penalty = options.number("--repeat-penalty", settings.repeat_penalty);
  settings.seed = static_cast<uint64_t>(options.integer("--seed", 0));
  return settings;
}

// "A:B=full"
Result<TapSchedule::Span> parse_level_span(const std::string& text) {
  const size_t equals = text.find('=');
  const std::optional<Level> level =
      equals == std::string::npos ? std::nullopt : parse_level(std::string_view(text).substr(equals + 1));
  if (!level) {
    return Error{ErrorCode::kInvalidArgument,
                 "--span takes a range of steps and a level (light, standard, full), as in 10:20=full, not: " + text};
  }
  ORRERY_ASSIGN_OR_RETURN(const StepSpan span, parse_span(text.substr(0, equals), "--span", INT64_MAX));
  return TapSchedule::Span{.begin = span.begin, .end = span.end, .level = *level};
}

Result<TapSchedule> schedule_of(const Options& options) {
  TapSchedule schedule;
  schedule.recording = options.has("--record");
  schedule.level = *parse_level(options.text("--level", "standard"));
  for (const std::string& text : options.all("--span")) {
    ORRERY_ASSIGN_OR_RETURN(const TapSchedule::Span span, parse_level_span(text));
    schedule.spans.push_back(span);
  }
  return schedule;
}

Result<PreparedPrompt> prompt_of(const Options& options, const OpenedModel& opened) {
  if (options.has("--chat")) return prepare_prompt(PromptKind::kChat, options.text("--chat"), opened);
  if (options.has("--tokens")) return prepare_prompt(PromptKind::kTokens, options.text("--tokens"), opened);
  return prepare_prompt(PromptKind::kPrompt, options.text("--prompt"), opened);
}

std::string progress_line(const RunProgress& progress) {
  char buffer[96];
  std::snprintf(buffer, sizeof(buffer), "reading the prompt: %lld of %lld tokens, %.0f tokens/s",
                static_cast<long long>(progress.n_done), static_cast<long long>(progress.n_total),
                progress.tokens_per_s);
  return buffer;
}

double rate(int64_t n, double seconds) { return seconds > 0 ? static_cast<double>(n) / seconds : 0; }

nlohmann::json result_json(const Options& options, const RunRequest& request, const SessionRun& run) {
  const RunResult& result = run.result;
  nlohmann::json prompt_ids = nlohmann::json::array();
  for (const Token& token : request.prompt) prompt_ids.push_back(token.id);
  nlohmann::json object{{"text", result.text},
                        {"ids", result.ids},
                        {"session", nullptr},
                        {"run", nullptr},
                        {"prompt_ids", prompt_ids},
                        {"stop", stop_reason_name(result.reason)},
                        {"prefill_tokens_per_s", rate(static_cast<int64_t>(request.prompt.size()), result.prefill_s)},
                        {"decode_tokens_per_s", rate(result.n_decoded, result.decode_s)}};
  if (options.has("--record")) {
    object["session"] = options.text("--record");
    object["run"] = run.run;
    object["gaps"] = run.status.n_gaps;
  }
  return object;
}

void say_summary(const Options& options, const RunRequest& request, const SessionRun& run) {
  const RunResult& result = run.result;
  char buffer[160];
  std::snprintf(buffer, sizeof(buffer), "%zu tokens read at %.0f tokens/s, %zu written at %.1f tokens/s; ended: %s",
                request.prompt.size(), rate(static_cast<int64_t>(request.prompt.size()), result.prefill_s),
                result.ids.size(), rate(result.n_decoded, result.decode_s),
                std::string(stop_reason_name(result.reason)).c_str());
  say(buffer);
  if (options.has("--record") && !run.status.failure) {
    say("recorded as run " + std::to_string(run.run) + " of " + options.text("--record") + ", " +
        bytes_text(run.status.n_bytes));
  }
  if (run.status.n_gaps > 0) {
    say("the recording has gaps (" + std::to_string(run.status.n_gaps) + "): the disk could not keep up");
  }
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  const int prompts = static_cast<int>(options.has("--prompt")) + static_cast<int>(options.has("--chat")) +
                      static_cast<int>(options.has("--tokens"));
  if (prompts != 1) return usage_error("run", "takes one of --prompt, --chat and --tokens");
  ORRERY_RETURN_IF_ERROR(refuse_what_comes_later(options));
  RunRequest request;
  request.n_new_tokens = options.integer("-n", 128);
  if (request.n_new_tokens < 0) return usage_error("run", "-n takes how many tokens to generate, 0 or more");
  request.sampler = sampler_settings(options);
  ORRERY_RETURN_IF_ERROR(request.sampler.validate());
  ORRERY_ASSIGN_OR_RETURN(request.schedule, schedule_of(options));

  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(const OpenedModel opened, open_chosen_model(model_choice(options)));
  ORRERY_ASSIGN_OR_RETURN(PreparedPrompt prompt, prompt_of(options, opened));
  request.prompt = std::move(prompt.tokens);
  Generator generator(opened.model, opened.kv);
  const bool one_step = options.has("--steps");
  request.batches =
      plan_batches(generator, static_cast<int64_t>(request.prompt.size()), request.schedule, {}, one_step);

  RunControl control;
  control.watch(&interrupted());
  const bool stream = !options.has("--json");
  RunSinks sinks;
  sinks.on_token = [&](const Token&, const std::string& text) {
    show_progress({});
    if (stream && !text.empty() && !print(printable(text))) control.stop();  // nobody reads any more
  };
  sinks.on_progress = [](const RunProgress& progress) {
    if (progress.prefill) show_progress(progress.n_done < progress.n_total ? progress_line(progress) : "");
  };

  SessionRun run;
  if (options.has("--record")) {
    ORRERY_ASSIGN_OR_RETURN(
        run, record_run(options.text("--record"), opened, generator, prompt.record, request, one_step, sinks, control));
  } else {
    ORRERY_ASSIGN_OR_RETURN(run.result, run_loop(generator, opened.tokenizer.get(), request, sinks, control));
  }
  if (stream) {
    if (!run.result.ids.empty()) print("\n");
    say_summary(options, request, run);
  } else {
    print_json(result_json(options, request, run));
  }
  if (run.status.failure) return *run.status.failure;
  return 0;
}

}  // namespace

const CommandSpec& run_command() {
  using Kind = OptionSpec::Kind;
  using Type = OptionSpec::Type;
  static const CommandSpec kSpec{
      .name = "run",
      .summary = "Generates text from a prompt, and records what went on inside",
      .details =
          "The text goes to stdout as it comes. Without --record nothing is written. Ctrl-C ends the run and closes "
          "the session. Levels: light (numbers per token and layer), standard (and attention summaries), full "
          "(and every attention weight; meant for a --span).",
      .example =
          "  orrery run --model smollm2-135m --chat \"Why is the sky blue?\" -n 64 --record sky.orrery\n"
          "  orrery run --model smollm2-135m --prompt \"Once upon a time\" --temperature 0 --span 0:32=full "
          "--record tale.orrery",
      .options = with_model_options(
          {{.name = "--prompt", .value = "S", .help = "Text to continue"},
           {.name = "--chat", .value = "S", .help = "A message to answer (chat models in the ChatML format)"},
           {.name = "--tokens", .value = "1,2,3|@FILE", .help = "Token ids to continue, exactly these"},
           {.name = "-n",
            .value = "N",
            .help = "Tokens to generate at most (default 128); 0 feeds the prompt alone",
            .type = Type::kInteger},
           {.name = "--temperature",
            .value = "X",
            .help = "0: always the likeliest token (default 0.8)",
            .type = Type::kNumber},
           {.name = "--top-k",
            .value = "N",
            .help = "Keep the k likeliest (default 40; 0: all)",
            .type = Type::kInteger},
           {.name = "--top-p",
            .value = "X",
            .help = "Keep the fewest that reach this probability (default 0.95)",
            .type = Type::kNumber},
           {.name = "--min-p",
            .value = "X",
            .help = "Keep those this likely beside the likeliest (default 0)",
            .type = Type::kNumber},
           {.name = "--repeat-penalty",
            .value = "X",
            .help = "Above 1: recent tokens less likely (default 1)",
            .type = Type::kNumber},
           {.name = "--seed", .value = "N", .help = "One seed, one text (default 0)", .type = Type::kInteger},
           {.kind = Kind::kFlag, .name = "--steps", .value = "", .help = "Feed the prompt one token at a time"},
           {.name = "--record", .value = "S.orrery", .help = "Record into this session; an existing one gains a run"},
           {.name = "--level",
            .value = "L",
            .help = "What to record: light, standard or full (default standard)",
            .choices = {"light", "standard", "full"}},
           {.kind = Kind::kRepeated,
            .name = "--span",
            .value = "A:B=L",
            .help = "A finer level for steps A up to B; may be repeated"},
           {.name = "--loops", .value = "K", .help = "Not there yet"},
           {.name = "--loop-layers", .value = "A:B", .help = "Not there yet"},
           {.kind = Kind::kRepeated, .name = "--edit", .value = "E", .help = "Not there yet"},
           {.kind = Kind::kFlag,
            .name = "--json",
            .value = "",
            .help = "Prints one JSON object instead of streaming"}}),
      .run = run};
  return kSpec;
}

}  // namespace orrery
