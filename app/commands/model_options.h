// The options that every command with a model takes.
#pragma once

#include <string>
#include <vector>

#include "app/commands/command.h"
#include "app/open_model.h"

namespace orrery {

// --model, --backend, --threads, --kv, then `more`.
std::vector<OptionSpec> with_model_options(std::vector<OptionSpec> more, bool model_required = true);

ModelChoice model_choice(const Options& options);

// open_model with progress on the terminal, and its remark; Ctrl-C cancels.
Result<OpenedModel> open_chosen_model(const ModelChoice& choice);

// "A:B", a half-open range of steps with 0 <= A < B; either may be left out where `end` (the run's length) is known.
struct StepSpan {
  int64_t begin = 0;
  int64_t end = 0;
};
Result<StepSpan> parse_span(const std::string& text, std::string_view option, int64_t end);

}  // namespace orrery
