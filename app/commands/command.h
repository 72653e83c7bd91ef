// A subcommand: its options as a table, its help with an example, and what it does. The table is what the command line
// is read by and what --help prints. commands.cpp lists all of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands/desktop.h"
#include "kernels/base/result.h"

namespace orrery {

struct OptionSpec {
  // kRest: whatever else is given, options too.
  enum class Kind : uint8_t { kPositional, kValue, kFlag, kRepeated, kRest };
  Kind kind = Kind::kValue;
  std::string_view name;   // "--model"; "-n"; a positional's name: "SESSION"
  std::string_view value;  // what it takes, for --help: "M", "1,2,3|@FILE"; empty for flags and positionals
  std::string_view help;
  bool required = false;
  std::vector<std::string_view> choices = {};  // where only these are possible
  // For numbers: the range that is possible; text otherwise.
  enum class Type : uint8_t { kText, kInteger, kNumber } type = Type::kText;
};

// What the user gave. Values have passed their table's checks.
class Options {
 public:
  bool has(std::string_view name) const { return values_.contains(name); }
  // Empty, or the fallback, where it was not given.
  std::string text(std::string_view name, std::string_view fallback = {}) const;
  int64_t integer(std::string_view name, int64_t fallback) const;
  double number(std::string_view name, double fallback) const;
  std::vector<std::string> all(std::string_view name) const;

  void add(std::string_view name, std::string value) { values_[std::string(name)].push_back(std::move(value)); }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

// How a command ends when nothing is wrong with its arguments: an exit status (0: done, 1: it said why not), or an
// Error, whose sentence goes to stderr and whose status is 1.
using CommandResult = Result<int>;

// Says what is wrong with how the command was called; the result has the exit status for that, 2.
CommandResult usage_error(std::string_view command, const std::string& what);

struct CommandContext {
  const Options& options;
  const Desktop& desktop;
  int argc;  // as main got them, for Qt
  char** argv;
};

struct CommandSpec {
  std::string_view name;
  std::string_view summary;  // one line
  std::string_view details;  // what one needs to know, a few lines; may be empty
  std::string_view example;  // commands that work as they stand
  std::vector<OptionSpec> options;
  CommandResult (*run)(const CommandContext& context);
};

// All subcommands, in the order of --help.
std::span<const CommandSpec* const> all_commands();

// Reads the command line and runs what it says; the program's exit status.
int run_program(int argc, char** argv, const Desktop& desktop);

}  // namespace orrery
