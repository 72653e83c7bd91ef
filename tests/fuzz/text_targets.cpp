// What comes beside the weights of a Hugging Face folder, and in a GGUF file's metadata: tokenizer.json, chat template.
#include <algorithm>
#include <string>
#include <string_view>

#include "engine/chat_template.h"
#include "engine/tokenizer.h"
#include "tests/fuzz/scratch_files.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/use_model.h"

namespace orrery::testing {

namespace {

std::string_view as_text(FileBytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

void fuzz_tokenizer_json(FileBytes file) {
  static const ScratchFolder folder;
  const auto nul = std::find(file.begin(), file.end(), std::byte{0});
  const auto length = static_cast<size_t>(nul - file.begin());
  folder.write("tokenizer.json", file.first(length));
  const auto tokenizer = Tokenizer::from_folder(folder.path());
  if (!tokenizer) return;
  use_tokenizer(**tokenizer, "Hello <s> wörld-12\n  \xe2\x96\x81the \xff");
  if (length < file.size()) use_tokenizer(**tokenizer, as_text(file.subspan(length + 1)));
}

void fuzz_chat_template(FileBytes file) {
  const auto chat = ChatTemplate::recognise(as_text(file));
  if (!chat) return;
  const ChatMessage system{.role = ChatRole::kSystem, .content = " Be kind. "};
  const ChatMessage user{.role = ChatRole::kUser, .content = "Hi {{ there }}\n"};
  const ChatMessage assistant{.role = ChatRole::kAssistant, .content = "Hello <|im_end|>"};
  (void)chat->lay_out({user});
  (void)chat->lay_out({system, user, assistant, user});
}

}  // namespace orrery::testing
