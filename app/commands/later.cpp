// Commands that the interface promises and that are not there yet: refused with a sentence.
#include "app/commands/commands.h"

namespace orrery {
namespace {

CommandSpec later(std::string_view name, std::string_view summary,
                  CommandResult (*run)(const CommandContext& context)) {
  return {.name = name,
          .summary = summary,
          .details = "This command is not there yet.",
          .example = "",
          .options = {{.kind = OptionSpec::Kind::kRest, .name = "ARGS", .value = "", .help = "Anything"}},
          .run = run};
}

Error not_yet(std::string_view what) {
  return {ErrorCode::kUnsupported, std::string(what) + "; orrery --help lists what is there"};
}

}  // namespace

const CommandSpec& diff_command() {
  static const CommandSpec kSpec =
      later("diff", "Compares two runs (not there yet)", [](const CommandContext&) -> CommandResult {
        return not_yet("comparing two runs is not there yet; compare exports of both (orrery export) until then");
      });
  return kSpec;
}

const CommandSpec& lesson_command() {
  static const CommandSpec kSpec =
      later("lesson", "Lessons (not there yet)",
            [](const CommandContext&) -> CommandResult { return not_yet("lessons are not there yet"); });
  return kSpec;
}

const CommandSpec& quantize_command() {
  static const CommandSpec kSpec =
      later("quantize", "Quantizes weights (not there yet)", [](const CommandContext&) -> CommandResult {
        return not_yet("quantizing weights is not there yet; Q8_0, Q4_0 and Q4_1 files of other programs can be run");
      });
  return kSpec;
}

}  // namespace orrery
