// ChatTemplate: a chat as the model was taught to read it. ChatML only; other templates are refused by a sentence.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer.h"
#include "kernels/base/result.h"

namespace orrery {

enum class ChatRole { kSystem, kUser, kAssistant };

std::string_view chat_role_name(ChatRole role);  // "system", "user", "assistant"

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::string content;
};

// The ids of one message with its markers; the last segment is the opening of the assistant's answer.
struct ChatSegment {
  ChatRole role = ChatRole::kUser;
  std::vector<int32_t> ids;
};

// Immutable; safe from any thread.
class ChatTemplate {
 public:
  // kUnsupported where the vocabulary has a template that is not ChatML; kNotFound where it has none and lacks
  // <|im_start|> and <|im_end|>. The message names `model_name`.
  static Result<ChatTemplate> from_tokenizer(const Tokenizer& tokenizer, std::string_view model_name);

  // <|im_start|>role\ncontent<|im_end|>\n for each message, then <|im_start|>assistant\n. Where the first message is
  // not the system's and the template has a default one (SmolLM2, Qwen2.5), that comes first. BOS comes first where
  // the vocabulary or the template asks for it. Contents are data: control tokens spelled in them are not parsed.
  // `tokenizer` must be the one that the template was made from.
  Result<std::vector<ChatSegment>> render(const Tokenizer& tokenizer, const std::vector<ChatMessage>& messages) const;

  const std::string& default_system() const { return default_system_; }  // empty where there is none

 private:
  int32_t im_start_ = 0;
  int32_t im_end_ = 0;
  bool adds_bos_ = false;
  std::string default_system_;
};

}  // namespace orrery
