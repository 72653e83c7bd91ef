// From the pieces of a laid out chat to the ids of its segments.
#pragma once

#include <vector>

#include "engine/chat_template.h"
#include "engine/tokenizer.h"
#include "kernels/base/result.h"

namespace orrery {

// Control tokens are parsed in what the template wrote; in contents they stay text. Neighbouring pieces of one role
// make one segment; a token that lies across a border belongs to the role in which it begins. Errors of encode().
Result<std::vector<ChatSegment>> encode_chat(const Tokenizer& tokenizer, const std::vector<ChatPiece>& pieces);

}  // namespace orrery
