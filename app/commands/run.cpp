// run: generates, streams the text, and records where asked to. A chat has one turn or more; --continue goes on with a
// recorded run.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/commands/chat_turns.h"
#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/loop_options.h"
#include "app/commands/model_options.h"
#include "app/commands/session_run.h"
#include "app/continued_run.h"
#include "app/prompt.h"
#include "app/recorded_run.h"
#include "app/run_loop.h"

namespace orrery {
namespace {

Result<void> refuse_what_comes_later(const Options& options) {
  if (!options.has("--edit")) return {};
  return Error{ErrorCode::kUnsupported,
               "edits of a run are not there yet; leave out --edit " + options.all("--edit").front()};
}

// `settings` where the user gave no other.
SamplerSettings sampler_settings(const Options& options, SamplerSettings settings) {
  settings.temperature = options.number("--temperature", settings.temperature);
  settings.top_k =
      static_cast<int32_t>(std::clamp<int64_t>(options.integer("--top-k", settings.top_k), INT32_MIN, INT32_MAX));
  settings.top_p = options.number("--top-p", settings.top_p);
  settings.min_p = options.number("--min-p", settings.min_p);
  settings.repeat_penalty = options.number("--repeat-penalty", settings.repeat_penalty);
  settings.seed = static_cast<uint64_t>(options.integer("--seed", static_cast<int64_t>(settings.seed)));
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

Result<TapSchedule> schedule_of(const Options& options, TapSchedule schedule, bool recording) {
  schedule.recording = recording;
  if (options.has("--level")) schedule.level = *parse_level(options.text("--level"));
  for (const std::string& text : options.all("--span")) {
    ORRERY_ASSIGN_OR_RETURN(const TapSchedule::Span span, parse_level_span(text));
    schedule.spans.push_back(span);
  }
  return schedule;
}

// What the command line asks for, before anything runs.
struct Plan {
  OpenedModel opened;
  RunRequest request;
  PromptRecord prompt;
  int64_t parent = 0;      // of the run, in the session that it is recorded into
  std::string session;     // it is recorded into; empty: none
  ChatTurns turns{{}};     // that come after the prompt
  std::string first_turn;  // the message that the prompt holds last; for --json
};

Error no_first_turn() {
  return {ErrorCode::kInvalidArgument,
          "--chat - got no message: write one line per turn, as in echo Hello | orrery run"};
}

Result<Plan> plan_new(const Options& options) {
  Plan plan;
  ORRERY_RETURN_IF_ERROR(sampler_settings(options, {}).validate());
  ModelChoice choice = model_choice(options);
  ORRERY_ASSIGN_OR_RETURN(choice.loop, loop_request(options));
  ORRERY_ASSIGN_OR_RETURN(plan.opened, open_chosen_model(choice));
  PromptKind kind = PromptKind::kPrompt;
  std::string text = options.text("--prompt");
  std::optional<std::string> system;
  if (options.has("--system")) system = options.text("--system");
  if (options.has("--tokens")) {
    kind = PromptKind::kTokens;
    text = options.text("--tokens");
  } else if (options.has("--chat")) {
    kind = PromptKind::kChat;
    plan.turns = ChatTurns(options.all("--chat"));
    const std::optional<std::string> first = plan.turns.next();
    if (!first) return no_first_turn();
    plan.first_turn = text = *first;
  }
  ORRERY_ASSIGN_OR_RETURN(PreparedPrompt prepared, prepare_prompt(kind, text, plan.opened, system));
  plan.request.prompt = std::move(prepared.tokens);
  plan.prompt = std::move(prepared.record);
  plan.session = options.text("--record");
  plan.request.n_new_tokens = 128;
  return plan;
}

// --continue: the recorded tokens, and where there is a --chat, the turn that follows them.
Result<Plan> plan_continued(const Options& options) {
  Plan plan;
  const std::string from = options.text("--continue");
  ORRERY_ASSIGN_OR_RETURN(const OpenedRun run, open_run(options, from));
  ORRERY_ASSIGN_OR_RETURN(ContinuedRun recorded, continue_recorded(*run.reader, run.record));
  ORRERY_ASSIGN_OR_RETURN(plan.opened, open_recorded_model(run.record, options));
  plan.session = options.text("--record", from);
  std::error_code ignored;
  if (std::filesystem::equivalent(plan.session, from, ignored)) plan.parent = run.record.run;
  plan.prompt = std::move(recorded.prompt);
  plan.request.prompt = std::move(recorded.tokens);
  plan.request.sampler = recorded.sampler;
  plan.request.schedule = recorded.schedule;
  plan.request.n_new_tokens = recorded.n_new_tokens > 0 ? recorded.n_new_tokens : 128;
  // Another seed is another sequence of random numbers, from its beginning.
  if (!options.has("--seed")) plan.request.n_drawn_before = recorded.n_drawn_before;
  const int32_t last_id = plan.request.prompt.back().id;
  if (options.has("--chat")) {
    plan.turns = ChatTurns(options.all("--chat"));
    const std::optional<std::string> next = plan.turns.next();
    if (!next) return no_first_turn();
    ORRERY_ASSIGN_OR_RETURN(const std::vector<Token> given, prepare_turn(*next, plan.opened, last_id));
    plan.request.prompt.insert(plan.request.prompt.end(), given.begin(), given.end());
    plan.prompt.turns.push_back(*next);
    plan.first_turn = *next;
  } else if (plan.opened.tokenizer && plan.opened.tokenizer->is_end_of_generation(last_id)) {
    return Error{ErrorCode::kInvalidArgument, "the answer of run " + std::to_string(run.record.run) +
                                                  " ended by itself; go on with a further message (--chat) from " +
                                                  from};
  }
  const int64_t context = plan.opened.model->config().context_length;
  if (context > 0 && std::ssize(plan.request.prompt) > context) {
    return Error{ErrorCode::kInvalidArgument, "the context of " + plan.opened.file->name() + " holds " +
                                                  std::to_string(context) + " tokens; the run cannot go on with " +
                                                  std::to_string(plan.request.prompt.size())};
  }
  for (size_t i = 0; i < plan.request.prompt.size(); ++i) {
    plan.request.prompt[i].step = static_cast<int64_t>(i);
    plan.request.prompt[i].time_ns = 0;
  }
  return plan;
}

std::string progress_line(const RunProgress& progress) {
  char buffer[96];
  std::snprintf(buffer, sizeof(buffer), "reading the prompt: %lld of %lld tokens, %.0f tokens/s",
                static_cast<long long>(progress.n_done), static_cast<long long>(progress.n_total),
                progress.tokens_per_s);
  return buffer;
}

double rate(int64_t n, double seconds) { return seconds > 0 ? static_cast<double>(n) / seconds : 0; }

// One turn's answer.
struct Answer {
  std::string chat;  // the user's message; empty where there was none
  RunResult result;
};

// A run of all turns.
struct Outcome {
  std::vector<Answer> answers;
  std::optional<Error> error;    // why a further turn was not taken; what was before it stays
  std::optional<Error> failure;  // of the recording
  RecorderStatus status;
  int64_t run = 0;
};

nlohmann::json result_json(const Plan& plan, const Outcome& outcome) {
  nlohmann::json prompt_ids = nlohmann::json::array();
  for (const Token& token : plan.request.prompt) prompt_ids.push_back(token.id);
  std::string text;
  std::vector<int32_t> ids;
  nlohmann::json turns = nlohmann::json::array();
  double decode_s = 0;
  int64_t n_decoded = 0;
  for (const Answer& answer : outcome.answers) {
    const RunResult& result = answer.result;
    text += result.text;
    ids.insert(ids.end(), result.ids.begin(), result.ids.end());
    decode_s += result.decode_s;
    n_decoded += result.n_decoded;
    turns.push_back(
        {{"chat", answer.chat}, {"text", result.text}, {"ids", result.ids}, {"stop", stop_reason_name(result.reason)}});
  }
  const double prefill_s = outcome.answers.front().result.prefill_s;
  nlohmann::json object{{"text", text},
                        {"ids", ids},
                        {"session", nullptr},
                        {"run", nullptr},
                        {"prompt_ids", prompt_ids},
                        {"stop", stop_reason_name(outcome.answers.back().result.reason)},
                        {"prefill_tokens_per_s", rate(std::ssize(plan.request.prompt), prefill_s)},
                        {"decode_tokens_per_s", rate(n_decoded, decode_s)}};
  if (!plan.first_turn.empty()) object["turns"] = turns;
  if (!plan.session.empty()) {
    object["session"] = plan.session;
    object["run"] = outcome.run;
    object["gaps"] = outcome.status.n_gaps;
  }
  if (plan.parent > 0) object["parent"] = plan.parent;
  return object;
}

void say_turn(size_t n_read, const RunResult& result) {
  char buffer[160];
  std::snprintf(buffer, sizeof(buffer), "%zu tokens read at %.0f tokens/s, %zu written", n_read,
                rate(static_cast<int64_t>(n_read), result.prefill_s), result.ids.size());
  std::string text = buffer;
  // The first token comes with the prompt's last step.
  if (result.n_decoded > 0) {
    std::snprintf(buffer, sizeof(buffer), " at %.1f tokens/s", rate(result.n_decoded, result.decode_s));
    text += buffer;
  }
  say(text + "; ended: " + std::string(stop_reason_name(result.reason)));
}

void say_recording(const Plan& plan, const Outcome& outcome) {
  if (!plan.session.empty() && !outcome.failure) {
    say("recorded as run " + std::to_string(outcome.run) + " of " + plan.session + ", " +
        bytes_text(outcome.status.n_bytes));
  }
  if (outcome.status.n_gaps > 0) {
    say("the recording has gaps (" + std::to_string(outcome.status.n_gaps) + "): the disk could not keep up");
  }
}

// Runs the prompt and every turn after it.
Result<Outcome> run_turns(Plan& plan, bool one_step, bool stream) {
  const OpenedModel& opened = plan.opened;
  Generator generator(opened.model, opened.kv);
  plan.request.batches = plan_batches(generator, std::ssize(plan.request.prompt), plan.request.schedule, {}, one_step);
  RunControl control;
  control.watch(&interrupted());
  RunSinks sinks;
  sinks.on_token = [&](const Token&, const std::string& text) {
    show_progress({});
    if (stream && !text.empty() && !print(printable(text))) control.stop();  // nobody reads any more
  };
  sinks.on_progress = [](const RunProgress& progress) {
    if (progress.prefill) show_progress(progress.n_done < progress.n_total ? progress_line(progress) : "");
  };
  RunRecord record = make_run_record(opened, plan.prompt, plan.request, one_step);
  record.parent = plan.parent;
  RecordedRun run(opened, generator, std::move(record), plan.request, {.path = plan.session, .store = {}}, sinks,
                  control);
  ORRERY_RETURN_IF_ERROR(run.begin());
  Outcome outcome;
  outcome.run = run.record().run;
  size_t n_read = plan.request.prompt.size();
  Result<RunResult> result = run.start();
  std::string chat = plan.first_turn;
  while (result) {
    if (stream && !result->ids.empty()) print("\n");
    if (stream) say_turn(n_read, *result);
    const StopReason reason = result->reason;
    outcome.answers.push_back({std::move(chat), std::move(*result)});
    if (reason == StopReason::kStopped) break;
    const std::optional<std::string> next = plan.turns.next();
    if (!next || interrupted()) break;
    chat = *next;
    Result<std::vector<Token>> given = prepare_turn(chat, opened, run.ids().back());
    n_read = given ? given->size() : 0;
    result = given ? run.go_on(std::move(*given), plan.request.n_new_tokens, chat) : Result<RunResult>(given.error());
  }
  const Result<void> closed = run.pause_recording();
  if (!closed) outcome.failure = closed.error();
  outcome.status = run.status();
  if (!result && outcome.answers.empty()) return result.error();
  if (!result) outcome.error = result.error();
  return outcome;
}

CommandResult check_usage(const Options& options) {
  const int prompts = static_cast<int>(options.has("--prompt")) + static_cast<int>(options.has("--chat")) +
                      static_cast<int>(options.has("--tokens"));
  if (options.has("--continue")) {
    if (options.has("--prompt") || options.has("--tokens") || options.has("--system")) {
      return usage_error("run", "--continue goes with --chat, not with --prompt, --tokens or --system");
    }
    for (const char* name : {"--loops", "--loop-layers", "--exit", "--loop-cache"}) {
      if (options.has(name)) return usage_error("run", "--continue goes on with the loop of the recorded run");
    }
  } else {
    if (prompts != 1) return usage_error("run", "takes one of --prompt, --chat, --tokens and --continue");
    if (options.has("--run")) return usage_error("run", "--run goes with --continue");
  }
  if (options.has("--system") && !options.has("--chat")) return usage_error("run", "--system goes with --chat");
  if (options.integer("-n", 0) < 0) return usage_error("run", "-n takes how many tokens to generate, 0 or more");
  return 0;
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  ORRERY_ASSIGN_OR_RETURN(const int usage, check_usage(options));
  if (usage != 0) return usage;
  ORRERY_RETURN_IF_ERROR(refuse_what_comes_later(options));
  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(Plan plan, options.has("--continue") ? plan_continued(options) : plan_new(options));
  RunRequest& request = plan.request;
  request.n_new_tokens = options.integer("-n", request.n_new_tokens);
  request.sampler = sampler_settings(options, request.sampler);
  ORRERY_RETURN_IF_ERROR(request.sampler.validate());
  ORRERY_ASSIGN_OR_RETURN(request.schedule, schedule_of(options, request.schedule, !plan.session.empty()));
  const bool stream = !options.has("--json");
  ORRERY_ASSIGN_OR_RETURN(const Outcome outcome, run_turns(plan, options.has("--steps"), stream));
  if (stream) {
    say_recording(plan, outcome);
  } else {
    print_json(result_json(plan, outcome));
  }
  if (outcome.error) return *outcome.error;
  if (outcome.failure) return *outcome.failure;
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
          "the session. --chat may be repeated: each is the user's next turn, answered in its turn within one run; "
          "--chat - reads turns from stdin, one per line, until an empty line or its end. Answers stay in the chat as "
          "they were generated, and only what is new is read. --continue goes on with a recorded run: in a run of its "
          "own in the same session (or --record's), with the model, settings and random numbers of the first, as if it "
          "had not ended; after an answer that ended by itself with a further --chat only. Levels: light (numbers per "
          "token and layer), standard (and attention summaries), full "
          "(and every attention weight; meant for a --span).",
      .example =
          "  orrery run --model smollm2-135m --chat \"Why is the sky blue?\" -n 64 --record sky.orrery\n"
          "  orrery run --model smollm2-135m --prompt \"Once upon a time\" --temperature 0 --span 0:32=full "
          "--record tale.orrery\n"
          "  orrery run --model smollm2-135m --system \"Be brief.\" --chat \"Why is the sky blue?\" --chat \"And at "
          "night?\" --record sky.orrery\n"
          "  orrery run --model smollm2-135m --chat - --record talk.orrery\n"
          "  orrery run --continue tale.orrery -n 64\n"
          "  orrery run --continue sky.orrery --run 1 --chat \"Are you sure?\"",
      .options = with_model_options(
          with_loop_options(
              {{.name = "--prompt", .value = "S", .help = "Text to continue"},
               {.kind = Kind::kRepeated,
                .name = "--chat",
                .value = "S|-",
                .help = "A message to answer, in the model's chat format; repeated: the next turns; -: lines of stdin"},
               {.name = "--system",
                .value = "S",
                .help = "With --chat: the system message, in place of the model's own"},
               {.name = "--tokens", .value = "1,2,3|@FILE", .help = "Token ids to continue, exactly these"},
               {.name = "--continue", .value = "S.orrery", .help = "Goes on with a recorded run"},
               {.name = "--run",
                .value = "R",
                .help = "With --continue: which run (default: the last)",
                .type = Type::kInteger},
               {.name = "-n",
                .value = "N",
                .help = "Tokens to generate at most, in each turn (default 128); 0 feeds the prompt alone",
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
               {.name = "--record",
                .value = "S.orrery",
                .help = "Record into this session; an existing one gains a run"},
               {.name = "--level",
                .value = "L",
                .help = "What to record: light, standard or full (default standard)",
                .choices = {"light", "standard", "full"}},
               {.kind = Kind::kRepeated,
                .name = "--span",
                .value = "A:B=L",
                .help = "A finer level for steps A up to B; may be repeated"},
               {.kind = Kind::kRepeated, .name = "--edit", .value = "E", .help = "Not there yet"},
               {.kind = Kind::kFlag,
                .name = "--json",
                .value = "",
                .help = "Prints one JSON object instead of streaming"}}),
          DefaultModel::kEmbedded),
      .run = run};
  return kSpec;
}

}  // namespace orrery
