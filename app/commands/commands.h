// The subcommands, one per file.
#pragma once

#include "app/commands/command.h"

namespace orrery {

const CommandSpec& info_command();

}  // namespace orrery
