#include "app/commands/window_command.h"

#include <cstdlib>
#include <filesystem>

#include "app/library/installed_models.h"

namespace orrery {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

CommandResult run(const CommandContext& context) {
  const std::string file = context.options.text("FILE");
  std::error_code ignored;
  if (!file.empty() && !std::filesystem::exists(file, ignored) && !resolve_model(file)) {
    return Error{
        ErrorCode::kNotFound,
        "there is neither a command, nor a file, nor an installed model of this name; see orrery --help: " + file};
  }
  if (!context.desktop.available()) return no_desktop(file.empty() ? "the window" : file);
  if (!has_display()) {
    return Error{
        ErrorCode::kUnsupported,
        "there is no display to open the window on (neither DISPLAY nor WAYLAND_DISPLAY is set); orrery --help "
        "lists what works without one: " +
            (file.empty() ? std::string("the window") : file)};
  }
  return context.desktop.run_window(context.argc, context.argv, {.file = file, .prompt = {}});
}

}  // namespace

bool has_display() { return is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"); }

const CommandSpec& window_command() {
  static const CommandSpec kSpec{.name = "", .summary = "", .details = "", .example = "", .options = {}, .run = run};
  return kSpec;
}

}  // namespace orrery
