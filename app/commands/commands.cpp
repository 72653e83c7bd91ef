// The list of all subcommands.
#include "app/commands/commands.h"

#include <vector>

namespace orrery {

std::span<const CommandSpec* const> all_commands() {
  static const std::vector<const CommandSpec*> kCommands{
      &info_command(),
  };
  return kCommands;
}

}  // namespace orrery
