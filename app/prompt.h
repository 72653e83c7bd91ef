// What the user gives a run to start from, as tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/open_model.h"
#include "kernels/base/result.h"
#include "probes/run_info.h"
#include "sessions/run_record.h"

namespace orrery {

enum class PromptKind : uint8_t { kPrompt, kChat, kTokens };  // --prompt, --chat, --tokens

struct PreparedPrompt {
  PromptRecord record;        // as given
  std::vector<Token> tokens;  // steps 0 .. n - 1; bytes empty without a tokenizer
};

// --prompt: BOS where the tokenizer says so, then the text, of which control tokens are parsed; segment user.
// --chat: the text as the user's message in the model's chat format. --tokens: exactly those ids; segment forced.
// Refuses empty text, text that is not UTF-8, ids outside the vocabulary, and more tokens than the model's context.
// `system`, for a chat only: the system message, in place of the template's own where it has one.
Result<PreparedPrompt> prepare_prompt(PromptKind kind, const std::string& text, const OpenedModel& opened,
                                      const std::optional<std::string>& system = {});

// A chat's next message from the user, after an answer that ended with last_id: what the template writes in between,
// the message, and the opening of the next answer. Steps are the run's to give.
Result<std::vector<Token>> prepare_turn(const std::string& text, const OpenedModel& opened, int32_t last_id);

// A text that the model is made to read as it stands, segment forced: control tokens spelled in it are plain text. In
// front of a run's first text stands what the tokenizer puts there. Of a model without a tokenizer: ids.
Result<PreparedPrompt> prepare_reading(const std::string& text, const OpenedModel& opened, bool begins_run);

// The ids of "1,2,3": separated by commas or white space. "@FILE" reads them from a file. `option` is named in errors.
Result<std::vector<int32_t>> parse_ids(std::string_view text, std::string_view option);

}  // namespace orrery
