// bench: how fast a model reads and writes, and what recording costs. The levels take turns in one process, so that
// whatever else the machine does meets them alike.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/commands/console.h"
#include "app/commands/model_options.h"
#include "app/recorded_run.h"
#include "sessions/session_reader.h"

namespace orrery {
namespace {

struct Measured {
  std::vector<double> prefill_tokens_per_s;
  std::vector<double> decode_tokens_per_s;
  std::vector<double> recorded_bytes_per_token;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t n = values.size();
  return n == 0 ? 0 : n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// A folder for the temporary sessions, removed with everything in it.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create() {
    std::error_code error;
    std::filesystem::path base = std::filesystem::temp_directory_path(error);
    if (error) base = "/tmp";
    std::string name = (base / "orrery-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      return Error{ErrorCode::kIo, "there is no place for a temporary session: " + name};
    return TemporaryFolder(name);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// Ordinary text where there is a tokenizer, spread ids where there is none.
Result<std::vector<Token>> bench_prompt(const OpenedModel& opened, int64_t n_tokens) {
  static constexpr std::string_view kText =
      "The planets wander among the stars, each at its own pace. Long before there were telescopes, people built "
      "brass machines in which small spheres turned around a lamp, so that anyone could see why the evening star comes "
      "back. To understand a thing, it helps to watch it move: slowly, from the side, with nothing hidden. ";
  std::vector<int32_t> ids;
  if (opened.tokenizer != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(ids, opened.tokenizer->encode(kText, EncodeOptions::plain()));
  }
  if (ids.empty()) ids = {0};
  const int64_t vocab = opened.model->config().vocab_size;
  std::vector<Token> tokens;
  for (int64_t i = 0; i < n_tokens; ++i) {
    Token token;
    token.step = i;
    token.id = opened.tokenizer != nullptr ? ids[static_cast<size_t>(i) % ids.size()]
                                           : static_cast<int32_t>((i * 7919 + 13) % vocab);
    token.segment = Segment::kForced;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

struct Plan {
  std::vector<std::string> levels;
  int64_t n_prompt = 256;
  int64_t n_new = 64;
  int64_t n_repeat = 3;
};

Result<Plan> plan_of(const Options& options) {
  Plan plan;
  plan.n_prompt = options.integer("--prompt", plan.n_prompt);
  plan.n_new = options.integer("--new", plan.n_new);
  plan.n_repeat = options.integer("--repeat", plan.n_repeat);
  for (const auto& [name, value, least] :
       {std::tuple{"--prompt", plan.n_prompt, 1}, {"--new", plan.n_new, 1}, {"--repeat", plan.n_repeat, 1}}) {
    if (value < least || value > 1'000'000) {
      return Error{ErrorCode::kInvalidArgument,
                   std::string(name) + " takes a number from 1 to 1000000, not: " + std::to_string(value)};
    }
  }
  const std::string levels = options.text("--levels", "off,light,standard") + ",";
  for (size_t at = 0, comma; (comma = levels.find(',', at)) != std::string::npos; at = comma + 1) {
    const std::string level = levels.substr(at, comma - at);
    if (level != "off" && !parse_level(level)) {
      return Error{ErrorCode::kInvalidArgument,
                   "--levels takes off, light, standard, full, separated by commas, not: " + level};
    }
    if (std::ranges::find(plan.levels, level) == plan.levels.end()) plan.levels.push_back(level);
  }
  return plan;
}

Result<void> measure(const OpenedModel& opened, const Plan& plan, const std::string& level, const std::string& session,
                     RunControl& control, Measured& measured) {
  RunRequest request;
  ORRERY_ASSIGN_OR_RETURN(request.prompt, bench_prompt(opened, plan.n_prompt));
  // One more than is timed: the last token drawn is not fed. Drawn as users draw; an end token does not end it.
  request.n_new_tokens = plan.n_new + 1;
  request.forced.resize(static_cast<size_t>(request.n_new_tokens));
  for (size_t i = 0; i < request.forced.size(); ++i) request.forced[i] = request.prompt[i % request.prompt.size()].id;
  const bool off = level == "off";
  request.schedule.recording = !off;
  if (!off) request.schedule.level = *parse_level(level);
  Generator generator(opened.model, opened.kv);
  request.batches = plan_batches(generator, plan.n_prompt, request.schedule, {}, false);
  RunResult result;
  if (off) {
    ORRERY_ASSIGN_OR_RETURN(result, run_loop(generator, opened.tokenizer.get(), request, {}, control));
  } else {
    ORRERY_ASSIGN_OR_RETURN(SessionRun run, record_run(session, opened, generator, {.kind = "tokens", .text = "bench"},
                                                       request, false, {}, control));
    if (run.status.failure) return *run.status.failure;
    result = std::move(run.result);
  }
  if (result.reason == StopReason::kStopped) return Error{ErrorCode::kCancelled, "interrupted before all was measured"};
  measured.prefill_tokens_per_s.push_back(static_cast<double>(plan.n_prompt) / result.prefill_s);
  measured.decode_tokens_per_s.push_back(static_cast<double>(result.n_decoded) / result.decode_s);
  std::error_code error;
  const auto n_bytes = off ? 0 : std::filesystem::file_size(session, error);
  measured.recorded_bytes_per_token.push_back(static_cast<double>(n_bytes) / static_cast<double>(result.n_processed));
  if (!off) std::filesystem::remove(session, error);
  return {};
}

int64_t peak_bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

CommandResult run(const CommandContext& context) {
  const Options& options = context.options;
  catch_interrupts();
  ORRERY_ASSIGN_OR_RETURN(const Plan plan, plan_of(options));
  ORRERY_ASSIGN_OR_RETURN(const OpenedModel opened, open_chosen_model(model_choice(options)));
  const int64_t context_length = opened.model->config().context_length;
  if (context_length > 0 && plan.n_prompt + plan.n_new > context_length) {
    return Error{ErrorCode::kInvalidArgument, "--prompt and --new together go beyond the model's context of " +
                                                  std::to_string(context_length) +
                                                  " tokens: " + std::to_string(plan.n_prompt + plan.n_new)};
  }
  ORRERY_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::create());
  RunControl control;
  control.watch(&interrupted());
  std::map<std::string, Measured> measured;
  for (int64_t repeat = 0; repeat < plan.n_repeat; ++repeat) {
    for (const std::string& level : plan.levels) {
      show_progress("measuring level " + level + ", round " + std::to_string(repeat + 1) + " of " +
                    std::to_string(plan.n_repeat));
      ORRERY_RETURN_IF_ERROR(measure(opened, plan, level, folder.file(level + std::to_string(repeat) + ".orrery"),
                                     control, measured[level]));
    }
  }
  show_progress({});
  nlohmann::json object{{"model", opened.file->name()},
                        {"backend", opened.model->backend()->name()},
                        {"device", opened.model->backend()->description()},
                        {"instruction_set", opened.model->backend()->instruction_set()},
                        {"threads", opened.model->backend()->n_threads()},
                        {"kv", kv_name(opened.kv)},
                        {"prompt_tokens", plan.n_prompt},
                        {"new_tokens", plan.n_new},
                        {"repeat", plan.n_repeat}};
  for (const std::string& level : plan.levels) {
    const Measured& m = measured[level];
    object["prefill_tokens_per_s"][level] = median(m.prefill_tokens_per_s);
    object["decode_tokens_per_s"][level] = median(m.decode_tokens_per_s);
    object["recorded_bytes_per_token"][level] = median(m.recorded_bytes_per_token);
    char line[160];
    std::snprintf(line, sizeof(line), "%-9s prefill %8.1f tokens/s, decode %7.1f tokens/s, %s per token recorded",
                  level.c_str(), median(m.prefill_tokens_per_s), median(m.decode_tokens_per_s),
                  bytes_text(static_cast<int64_t>(median(m.recorded_bytes_per_token))).c_str());
    if (!options.has("--json")) say(line);
  }
  object["peak_bytes"] = peak_bytes();
  if (options.has("--json"))
    print_json(object);
  else
    say("peak memory " + bytes_text(peak_bytes()));
  return 0;
}

}  // namespace

const CommandSpec& bench_command() {
  using Type = OptionSpec::Type;
  static const CommandSpec kSpec{
      .name = "bench",
      .summary = "Measures how fast a model runs, and what recording costs",
      .details =
          "The levels take turns; medians over the rounds. Recording goes into a temporary session, which is removed.",
      .example = "  orrery bench --model smollm2-135m --prompt 256 --new 64 --json",
      .options = with_model_options(
          {{.name = "--prompt", .value = "N", .help = "Tokens to read (default 256)", .type = Type::kInteger},
           {.name = "--new", .value = "N", .help = "Tokens to write (default 64)", .type = Type::kInteger},
           {.name = "--repeat", .value = "N", .help = "Rounds (default 3)", .type = Type::kInteger},
           {.name = "--levels", .value = "L,L", .help = "off, light, standard, full (default off,light,standard)"},
           {.kind = OptionSpec::Kind::kFlag, .name = "--json", .value = "", .help = "Prints one JSON object"}}),
      .run = run};
  return kSpec;
}

}  // namespace orrery
