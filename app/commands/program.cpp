// From the command line to a command: the tables of all commands, read by CLI11.
#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <new>

#include "app/build_info.h"
#include "app/commands/command.h"
#include "app/commands/console.h"
#include "app/commands/window_command.h"

namespace orrery {

std::string Options::text(std::string_view name, std::string_view fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? std::string(fallback) : found->second.back();
}

int64_t Options::integer(std::string_view name, int64_t fallback) const {
  return has(name) ? std::strtoll(text(name).c_str(), nullptr, 10) : fallback;
}

double Options::number(std::string_view name, double fallback) const {
  return has(name) ? std::strtod(text(name).c_str(), nullptr) : fallback;
}

std::vector<std::string> Options::all(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

CommandResult usage_error(std::string_view command, const std::string& what) {
  say("orrery " + std::string(command) + ": " + what + "; see orrery " + std::string(command) + " --help");
  return 2;
}

Error no_desktop(std::string_view wanted) {
  return {
      ErrorCode::kUnsupported,
      "this build of orrery has no window and draws no PNG; build it with Qt 6 (qt6-base-dev): " + std::string(wanted)};
}

namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

// "" where the text is an integer that fits; else what is wrong, for CLI11.
std::string check_integer(const std::string& text) {
  int64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && rest == text.data() + text.size()) return {};
  return "takes a whole number, not: " + text;
}

std::string check_number(const std::string& text) {
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && rest == text.data() + text.size() && std::isfinite(value)) return {};
  return "takes a number, not: " + text;
}

std::string joined(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

// What one command's values are read into, in the order of its table.
using Values = std::vector<std::vector<std::string>>;

void add_option(CLI::App& app, const OptionSpec& spec, std::vector<std::string>& values) {
  const std::string name(spec.name);
  const std::string help(spec.help);
  if (spec.kind == OptionSpec::Kind::kRest) {
    app.allow_extras();
    return;
  }
  if (spec.kind == OptionSpec::Kind::kFlag) {
    app.add_flag_callback(
        name, [&values] { values.emplace_back("1"); }, help);
    return;
  }
  CLI::Option* option = nullptr;
  if (spec.kind == OptionSpec::Kind::kRepeated) {
    option = app.add_option_function<std::string>(
        name, [&values](const std::string& value) { values.push_back(value); }, help);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->trigger_on_parse();
  } else {
    option = app.add_option_function<std::string>(
        name, [&values](const std::string& value) { values.assign(1, value); }, help);
  }
  option->type_name(std::string(spec.value));
  if (spec.required) option->required();
  if (spec.type == OptionSpec::Type::kInteger) option->check(check_integer);
  if (spec.type == OptionSpec::Type::kNumber) option->check(check_number);
  if (!spec.choices.empty()) {
    option->check([&spec](const std::string& text) -> std::string {
      for (const std::string_view choice : spec.choices) {
        if (text == choice) return {};
      }
      return "takes one of " + joined(spec.choices) + ", not: " + text;
    });
  }
}

std::string footer_of(const CommandSpec& spec) {
  std::string text;
  if (!spec.details.empty()) text += "\n" + std::string(spec.details) + "\n";
  if (!spec.example.empty()) text += "\nExample:\n" + std::string(spec.example) + "\n";
  return text;
}

void add_command(CLI::App& app, const CommandSpec& spec, Values& values) {
  CLI::App* command = app.add_subcommand(std::string(spec.name), std::string(spec.summary));
  command->footer(footer_of(spec));
  values.resize(spec.options.size());
  for (size_t i = 0; i < spec.options.size(); ++i) add_option(*command, spec.options[i], values[i]);
}

Options collect(const CommandSpec& spec, const Values& values) {
  Options options;
  for (size_t i = 0; i < spec.options.size(); ++i) {
    for (const std::string& value : values[i]) options.add(spec.options[i].name, value);
  }
  return options;
}

int run_command(const CommandSpec& spec, const CommandContext& context) {
  const CommandResult result = spec.run(context);
  show_progress({});
  if (result) return *result;
  const std::string name = spec.name.empty() ? "orrery" : "orrery " + std::string(spec.name);
  say(name + ": " + result.error().message);
  return kFailed;
}

int parse_and_run(int argc, char** argv, const Desktop& desktop) {
  CLI::App app(
      "Orrery shows how language models think, live: it runs them, measures them, records them and draws them.",
      "orrery");
  app.set_help_flag("-h,--help", "Prints this help, or a command's: orrery run --help");
  app.set_version_flag("--version", "orrery " + build_id());
  app.require_subcommand(0, 1);
  app.option_defaults()->delimiter('\0');
  std::string file;
  app.add_option("FILE", file, "Opens the window on a session, a model file or folder, or an installed model");
  app.footer(
      "\nExamples:\n  orrery models get smollm2-135m\n  orrery run --model smollm2-135m --chat \"Why is the sky "
      "blue?\" --record sky.orrery\n  orrery sky.orrery\n\nExit status: 0 done, 1 a stated failure, 2 wrong "
      "usage. Results go to stdout, text for people to stderr.");
  const std::span<const CommandSpec* const> commands = all_commands();
  std::vector<Values> values(commands.size());
  for (size_t i = 0; i < commands.size(); ++i) add_command(app, *commands[i], values[i]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kWrongUsage;
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    if (!app.got_subcommand(std::string(commands[i]->name))) continue;
    const Options options = collect(*commands[i], values[i]);
    return run_command(*commands[i], {.options = options, .desktop = desktop, .argc = argc, .argv = argv});
  }
  Options options;
  options.add("FILE", file);
  return run_command(window_command(), {.options = options, .desktop = desktop, .argc = argc, .argv = argv});
}

}  // namespace

int run_program(int argc, char** argv, const Desktop& desktop) {
  try {
    return parse_and_run(argc, argv, desktop);
  } catch (const std::bad_alloc&) {
    say("orrery: there is not enough memory for this");
    return kFailed;
  }
}

}  // namespace orrery
