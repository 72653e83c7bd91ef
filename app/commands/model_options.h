// The options that every command with a model takes.
#pragma once

#include <string>
#include <vector>

#include "app/commands/command.h"
#include "app/open_model.h"

namespace orrery {

// Which model is meant where no --model is given.
enum class DefaultModel {
  kNone,      // wrong usage
  kEmbedded,  // the one that comes with the program
  kRecorded,  // the session's own
};

// --model, --backend, --threads, --kv, then `more`.
std::vector<OptionSpec> with_model_options(std::vector<OptionSpec> more,
                                           DefaultModel default_model = DefaultModel::kNone);

// Its model is empty where no --model is given.
ModelChoice model_choice(const Options& options);

// open_model with progress on the terminal, and its remark; Ctrl-C cancels. An empty model is the one that comes with
// the program.
Result<OpenedModel> open_chosen_model(ModelChoice choice);

// "A:B", a half-open range of steps with 0 <= A < B; either may be left out where `end` (the run's length) is known.
struct StepSpan {
  int64_t begin = 0;
  int64_t end = 0;
};
Result<StepSpan> parse_span(const std::string& text, std::string_view option, int64_t end);

}  // namespace orrery
