// orrery: one program with subcommands; see app/commands.
#include "app/commands/command.h"

int main(int argc, char** argv) {
  orrery::Desktop desktop;
#ifdef ORRERY_WITH_WINDOW
  desktop = {
      .run_window = orrery::run_window, .text_metrics = orrery::qt_text_metrics, .render_png = orrery::render_png};
#endif
  return orrery::run_program(argc, argv, desktop);
}
