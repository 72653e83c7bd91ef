// The list of all subcommands.
#include "app/commands/commands.h"

#include <vector>

namespace orrery {

std::span<const CommandSpec* const> all_commands() {
  static const std::vector<const CommandSpec*> kCommands{
      &run_command(),    &info_command(),  &models_command(), &tokenize_command(), &logits_command(),
      &export_command(), &shot_command(),  &verify_command(), &bench_command(),    &demo_command(),
      &diff_command(),   &tasks_command(), &lesson_command(), &quantize_command(),
  };
  return kCommands;
}

}  // namespace orrery
