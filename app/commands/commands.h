// The subcommands, one per file.
#pragma once

#include "app/commands/command.h"

namespace orrery {

const CommandSpec& info_command();
const CommandSpec& models_command();
const CommandSpec& tokenize_command();
const CommandSpec& logits_command();
const CommandSpec& run_command();
const CommandSpec& export_command();
const CommandSpec& shot_command();
const CommandSpec& verify_command();
const CommandSpec& bench_command();
const CommandSpec& demo_command();
const CommandSpec& tasks_command();
const CommandSpec& diff_command();      // refused: not there yet
const CommandSpec& lesson_command();    // the same
const CommandSpec& quantize_command();  // the same

}  // namespace orrery
