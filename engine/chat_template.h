// ChatTemplate: a chat as the model was taught to read it. The Jinja template that comes with a model is run (by
// engine/jinja) on a chat of placeholders; what it writes around them says which family it belongs to and where each
// message goes. Contents never pass through the template, so that nothing in them can steer it.
//
// Families: ChatML and LFM2 (<|im_start|>), Llama-3 (<|start_header_id|>), Gemma (<start_of_turn>), Mistral ([INST],
// all spacings, Llama-2 too) and Granite (<|start_of_role|>). Any other template is refused by a sentence.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/jinja/syntax.h"
#include "engine/tokenizer.h"
#include "kernels/base/result.h"

namespace orrery {

enum class ChatRole { kSystem, kUser, kAssistant };

std::string_view chat_role_name(ChatRole role);  // "system", "user", "assistant"

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::string content;
};

// The ids of one message with its markers; the last segment opens the assistant's answer where the family has such an
// opening (Mistral has none).
struct ChatSegment {
  ChatRole role = ChatRole::kUser;
  std::vector<int32_t> ids;
};

enum class ChatFamily : uint8_t { kChatMl, kLfm2, kLlama3, kGemma, kMistral, kGranite };
std::string_view chat_family_name(ChatFamily family);  // "ChatML", "LFM2", "Llama-3", "Gemma", "Mistral", "Granite"

// A stretch of a rendered chat: a message's content, or what the template wrote around it.
struct ChatPiece {
  ChatRole role = ChatRole::kUser;
  bool is_content = false;
  std::string text;
};

// What a template is run with besides the messages.
struct ChatSurroundings {
  std::string bos = "<s>";  // as the vocabulary spells them; empty where it has none
  std::string eos = "</s>";
  std::tm today{};  // what templates write that ask for the date (Llama-3.2, Granite, Mistral Small)
};

// Immutable; safe from any thread.
class ChatTemplate {
 public:
  // From the template's source alone; any bytes, in bounded time. kUnsupported, with a reason in a few words, for what
  // is no Jinja, needs more of it than is known, or belongs to no family above.
  static Result<ChatTemplate> recognise(std::string_view jinja, ChatSurroundings surroundings = {});

  // The same for a model, with today's date. A vocabulary that has one family's markers and no template gets that
  // family's plainest one (ChatML, Llama-3, Gemma). kUnsupported where the template is not known or the vocabulary
  // lacks its markers, kNotFound where there is neither template nor markers. The sentence names `model_name`.
  static Result<ChatTemplate> from_tokenizer(const Tokenizer& tokenizer, std::string_view model_name);

  ChatFamily family() const { return family_; }
  // The message that the template puts in where a chat brings none; empty where it puts in nothing, or only a date.
  const std::string& default_system() const { return default_system_; }
  // Why a system message cannot be given; empty where it can.
  const std::string& no_system() const { return no_system_; }

  // The chat as text, ready for the assistant's answer: equal to transformers' apply_chat_template with
  // add_generation_prompt. Contents are stripped where the template strips them. kInvalidArgument where the template
  // refuses these messages (roles out of turn), kUnsupported where it leaves one out.
  Result<std::vector<ChatPiece>> lay_out(const std::vector<ChatMessage>& messages) const;

  // The chat as ids: those of the laid out text, with control tokens parsed in what the template wrote and not in what
  // contents spell. BOS is there where the template writes it; a vocabulary without a template says so itself.
  // `tokenizer` must be the one that the template was made from.
  Result<std::vector<ChatSegment>> render(const Tokenizer& tokenizer, const std::vector<ChatMessage>& messages) const;

  // What goes between an answer, whose last id is given, and the next one: the end of the assistant's turn (but for
  // what the answer ended with by itself), the user's message, and the opening of the next answer. The ids before
  // stay as they are, whatever the template would do to old messages.
  Result<std::vector<ChatSegment>> render_next(const Tokenizer& tokenizer, std::string content, int32_t last_id) const;

 private:
  Result<void> recognise_family();
  Result<void> look_at_system();
  Result<void> check_vocabulary(const Tokenizer& tokenizer) const;

  std::shared_ptr<const jinja::Body> body_;
  ChatSurroundings surroundings_;
  ChatFamily family_ = ChatFamily::kChatMl;
  std::string default_system_;
  std::string no_system_;
};

}  // namespace orrery
