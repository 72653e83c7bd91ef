// What `orrery [FILE]` does: no subcommand.
#pragma once

#include "app/commands/command.h"

namespace orrery {

// Opens the window on options.text("FILE"), or on the start page.
const CommandSpec& window_command();

// True where there is a display to open a window on.
bool has_display();

}  // namespace orrery
