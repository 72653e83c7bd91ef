// What the user gives a run to start from, as tokens.
#pragma once

#include <cstdint>
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
Result<PreparedPrompt> prepare_prompt(PromptKind kind, const std::string& text, const OpenedModel& opened);

// The ids of "1,2,3": separated by commas or white space. "@FILE" reads them from a file. `option` is named in errors.
Result<std::vector<int32_t>> parse_ids(std::string_view text, std::string_view option);

}  // namespace orrery
